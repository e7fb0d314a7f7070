"""Serves a simulator over HTTP with uvicorn, which is vLLM's own server, with vLLM's keep-alive of 5 seconds.

Promise: connections are refused until the start-up delay is over (vLLM binds its port and listens only when the
engine is ready), and stopping cuts whatever is open once `shutdown_timeout_s` is over; its default is 0, as that of
vLLM's `--shutdown-timeout` is.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engines.simulator.app import SimulatorApp
from engines.simulator.core import SimulatorCore
from engines.simulator.driver import Driver
from engines.simulator.formats.job import FINGERPRINT
from engines.simulator.metrics import SimulatorMetrics
from engines.simulator.settings import SimulatorSettings

DATE_REFRESH_S = 1.0
"""How often the `date` header is made anew."""


class _Protocol(HttpToolsProtocol):
    """Lets the application close a connection in the middle of an answer, for which ASGI has no word."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"penstock.close": self.transport.close}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, stop: asyncio.Event, listening: Callable[[], None], shutdown_timeout_s: float
    ) -> None:
        super().__init__(config)
        self._shutdown_timeout_s = shutdown_timeout_s
        self._stop = stop
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def main_loop(self) -> None:
        # uvicorn polls ten times a second; waiting for the event ends at once and idles quietly.
        while not await self.on_tick(0) and not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), DATE_REFRESH_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        if self._shutdown_timeout_s and (running := set(self.server_state.tasks)):
            for connection in list(self.server_state.connections):
                connection.shutdown()  # closes an idle one; another closes after its answer
            await asyncio.wait(running, timeout=self._shutdown_timeout_s)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if tasks := set(self.server_state.tasks):
            await asyncio.wait(tasks)  # each sees its client gone
        for server in self.servers:
            await server.wait_closed()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's: they set `stop`."""
        yield


def _say(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


async def serve(
    settings: SimulatorSettings,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    uds: str | None = None,
    on_listening: Callable[[str], None] = _say,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set. `on_listening` gets the URL, or `unix:PATH`, once connections are taken.

    Raises OSError when the address cannot be bound, ValueError when `api_key_env` names an unset variable.
    """
    stop = stop or asyncio.Event()
    core = SimulatorCore(settings, random.Random(f"{settings.seed} engine"))  # noqa: S311 -- a simulation
    metrics = SimulatorMetrics(core)
    driver = Driver(core, metrics, asyncio.get_running_loop())
    app = SimulatorApp(settings, core, driver, metrics)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[("server", FINGERPRINT)],
        timeout_keep_alive=5,
    )
    bound, url = _bind(host, port, uds)
    try:
        if settings.startup_delay_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), settings.startup_delay_s)
        if not stop.is_set():
            await _Server(config, stop, lambda: on_listening(url), settings.shutdown_timeout_s).serve([bound])
    finally:
        driver.close()
        bound.close()
        if uds is not None:
            Path(uds).unlink(missing_ok=True)  # noqa: ASYNC240 -- the server is over


def _bind(host: str, port: int, uds: str | None) -> tuple[socket.socket, str]:
    """A bound socket that does not listen yet, and what to call it."""
    if uds is not None:
        if Path(uds).is_socket():
            Path(uds).unlink()  # left behind by a server that was killed
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(uds)
        return bound, f"unix:{uds}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    shown = f"[{host}]" if ":" in host else host
    return bound, f"http://{shown}:{bound.getsockname()[1]}"
