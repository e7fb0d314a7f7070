"""vLLM's sleep mode: a server gives its memory back while nobody asks, and takes it again in seconds.

As vLLM behaves with `VLLM_SERVER_DEV_MODE=1` and `--enable-sleep-mode` (vllm/entrypoints/serve/sleep/api_router.py,
docs/features/sleep_mode.md): level 1 keeps the weights in the memory of the CPU, level 2 discards them, and after that
they have to be loaded again (`/collective_rpc` with `reload_weights`) between waking `weights` and waking `kv_cache`.
What a server has cached is gone either way. It sleeps until everything is awake, and requests wait for that.

One thing is clearer than there: a server that was woken without its weights answers 500, where vLLM answers rubbish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from engines.simulator.core import SimulatorCore
from engines.simulator.formats.job import Refused, bad_request
from engines.simulator.metrics import SimulatorMetrics

TAGS = frozenset({"weights", "kv_cache"})
RELOAD = "reload_weights"


class Asked(Protocol):
    """One HTTP request: `engines.simulator.app.Call`."""

    scope: Any

    async def body(self, limit_bytes: int) -> bytes: ...

    async def gone(self) -> None: ...

    async def answer(self, status: int, body: bytes) -> None: ...

    async def json(self, status: int, value: object) -> None: ...


Handler = Callable[[Any], Awaitable[None]]


class SleepMode:
    """Whether one server sleeps, and what it serves meanwhile."""

    def __init__(self, core: SimulatorCore, metrics: SimulatorMetrics) -> None:
        self._core = core
        self._metrics = metrics
        self._asleep: set[str] = set()
        """What is not there: of `TAGS`."""
        self._discarded = False
        """Whether the weights have to be loaded again."""
        self._awake = asyncio.Event()
        self._awake.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._live: list[Callable[[], None]] = []
        self.routes: dict[str, dict[str, Handler]] = {
            "/sleep": {"POST": self._sleep},
            "/wake_up": {"POST": self._wake_up},
            "/is_sleeping": {"GET": self._is_sleeping},
            "/collective_rpc": {"POST": self._collective_rpc},
        }

    @property
    def serving(self) -> int:
        """Requests in progress."""
        return len(self._live)

    @contextmanager
    def serves(self, cut: Callable[[], None]) -> Iterator[None]:
        """A request is in progress; `cut` ends it."""
        self._live.append(cut)
        self._idle.clear()
        try:
            yield
        finally:
            self._live.remove(cut)
            if not self._live:
                self._idle.set()

    async def awake(self, call: Asked) -> None:
        """Wait until the server is awake. Raises ConnectionError when the client leaves before, Refused (500) where
        the weights are missing."""
        if self._asleep:
            gone = asyncio.ensure_future(call.gone())
            woken = asyncio.ensure_future(self._awake.wait())
            try:
                await asyncio.wait((gone, woken), return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                woken.cancel()
            if self._asleep:
                raise ConnectionError
        if self._discarded:
            raise Refused(500, "InternalServerError", f"The weights were discarded; `{RELOAD}` loads them again.")

    async def _sleep(self, call: Asked) -> None:
        asked = _query(call)
        level, mode = asked.get("level", ["1"])[0], asked.get("mode", ["abort"])[0]
        if level not in ("1", "2") or mode not in ("abort", "wait"):
            raise bad_request("level is 1 or 2, and mode abort or wait.")
        if mode == "abort":
            for cut in tuple(self._live):
                cut()
        await self._idle.wait()
        self._asleep = set(TAGS)
        self._discarded = self._discarded or level == "2"
        self._awake.clear()
        self._core.cache.clear_idle()
        self._metrics.sleep_level = 2 if self._discarded else 1
        await call.answer(200, b"")

    async def _wake_up(self, call: Asked) -> None:
        tags = set(_query(call).get("tags", TAGS))
        if tags - TAGS:
            raise bad_request(f"tags are of {', '.join(sorted(TAGS))}.")
        if tags & self._asleep and self._core.settings.wake_s:
            await asyncio.sleep(self._core.settings.wake_s / (2 if len(tags) == 1 else 1))
        self._asleep -= tags
        if not self._asleep:
            self._awake.set()
            self._metrics.sleep_level = 0
        await call.answer(200, b"")

    async def _is_sleeping(self, call: Asked) -> None:
        await call.json(200, {"is_sleeping": bool(self._asleep)})

    async def _collective_rpc(self, call: Asked) -> None:
        body = msgspec.json.decode(await call.body(self._core.settings.max_body_bytes))
        if not isinstance(body, dict) or body.get("method") != RELOAD:
            raise bad_request(f"The simulator knows no method but `{RELOAD}`.")
        if "weights" in self._asleep:
            raise Refused(500, "InternalServerError", "There is no memory to load the weights into.")
        self._discarded = False
        await call.json(200, {"results": [None]})


def _query(call: Asked) -> dict[str, list[str]]:
    return parse_qs(call.scope["query_string"].decode("ascii", "replace"))
