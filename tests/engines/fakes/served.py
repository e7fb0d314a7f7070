"""A fake provider in a thread of its own, over real HTTP: the SDKs that call it block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from engines.fakes.app import FakeApp
from engines.fakes.limits import Limits
from engines.fakes.roster import PROVIDERS
from engines.serving import Bound


def fake(name: str, limits: Limits | None = None, keys: frozenset[str] = frozenset()) -> AbstractContextManager[str]:
    """The URL of a running fake."""
    return serving(FakeApp(PROVIDERS[name](), limits or Limits(), keys))


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The URL of an ASGI application."""
    listening = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    with Bound("127.0.0.1", 0) as bound:

        def run() -> None:
            serving = bound.serve(app, stop, server_name="fake", on_listening=lambda _: listening.set())
            loop.run_until_complete(serving)
            loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert listening.wait(30)
            yield bound.url
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(30)
