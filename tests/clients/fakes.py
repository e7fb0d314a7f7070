"""Every fake provider in one process of the project's own interpreter, and who tells the access tokens of Vertex AI.

`python -m tests.clients.fakes DIRECTORY` prints a line of JSON once all take connections: the URL of each by its name,
and `key`, the file of a service account. It ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys

from engines.fakes.roster import PROVIDERS
from tests.engines.fakes.served import fake
from tests.engines.providers.test_tokens import service_account
from tests.engines.providers.token_server import token_server


def main(directory: str) -> None:
    token = {"access_token": "a-token-of-google", "expires_in": 3600}
    with contextlib.ExitStack() as running:
        google = running.enter_context(token_server((200, token)))
        told = {name: running.enter_context(fake(name)) for name in PROVIDERS}
        told["vertex"] = running.enter_context(fake("gemini", keys=frozenset({"a-token-of-google"})))
        told["key"] = service_account(pathlib.Path(directory) / "key.json", google.url)
        sys.stdout.write(f"{json.dumps(told)}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
