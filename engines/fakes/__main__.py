"""`python -m engines.fakes PROVIDER`: one fake provider in this process."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from engines.fakes.app import FakeApp
from engines.fakes.limits import Limits
from engines.fakes.roster import PROVIDERS
from engines.fakes.scripts import Script
from engines.serving import Bound

_EPILOG = f"""
What goes wrong is ordered with the header `x-fake-script: NAME`, or by a model whose name ends in `fake-NAME`:
{", ".join(script.value for script in Script)}. What was asked is listed at GET /fake/requests.
"""


async def _run(app: FakeApp, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with Bound(host, port) as bound:
        await bound.serve(app, stop, server_name="penstock-fake", keep_alive_s=60)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, serve, and return the exit status."""
    description = "A server that stands in for a hosted provider: strict about what it takes, and free."
    parser = argparse.ArgumentParser(prog="penstock fake-provider", description=description, epilog=_EPILOG)
    parser.add_argument("provider", choices=PROVIDERS, help="whom it stands in for")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 takes a free one (default 8000)")
    parser.add_argument("--key", action="append", default=[], help="a key to let in; may be repeated (default: any)")
    parser.add_argument("--requests-per-minute", type=int, default=10_000, help="what each key may do (default 10000)")
    parser.add_argument(
        "--tokens-per-minute", type=int, default=2_000_000, help="prompt tokens of each key (default 2000000)"
    )
    options = parser.parse_args(argv)
    limits = Limits(options.requests_per_minute, options.tokens_per_minute)
    app = FakeApp(PROVIDERS[options.provider](), limits, frozenset(options.key))
    try:
        asyncio.run(_run(app, options.host, options.port))
    except OSError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
