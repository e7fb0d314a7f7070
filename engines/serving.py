"""Serves an ASGI application with uvicorn until an event is set, as servers do that stand in for real ones.

Promise: the socket is bound before anything waits, connections are taken only when `serve` is called, and stopping
cuts whatever is open once `shutdown_timeout_s` is over. The application may close a connection in the middle of an
answer: `scope["extensions"]["penstock.close"]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

DATE_REFRESH_S = 1.0
"""How often the `date` header is made anew."""


MOST_PORT = 65_535
HEAD_BYTES = 16 * 1024
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class _Protocol(HttpToolsProtocol):
    """Lets the application close a connection in the middle of an answer, for which ASGI has no word; and reads the
    body of who offers an upgrade (Java's client does, with each POST), which llhttp takes for another protocol's."""

    def data_received(self, data: bytes) -> None:
        if b"pgrade:" in data[:HEAD_BYTES]:
            head, end, body = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"\r\nx-upgrade:", head) + end + body
        super().data_received(data)

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


def say(url: str) -> None:
    """One line on standard output, for whoever started the process."""
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


class Bound:
    """An address that is ours and does not listen yet; a context manager that gives it back."""

    def __init__(self, host: str, port: int, uds: str | None = None) -> None:
        """Port 0 takes a free one. Raises OSError when the address cannot be bound."""
        if not 0 <= port <= MOST_PORT:
            raise OSError(f"--port {port}: a port is 0 to {MOST_PORT}")
        self._uds = uds
        if uds is not None:
            if Path(uds).is_socket():
                Path(uds).unlink()  # left behind by a server that was killed
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(uds)
            self.url = f"unix:{uds}"
            return
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
        except BaseException:
            self._socket.close()
            raise
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Bound:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        if self._uds is not None:
            Path(self._uds).unlink(missing_ok=True)

    async def serve(
        self,
        app: Any,
        stop: asyncio.Event,
        *,
        server_name: str,
        on_listening: Callable[[str], None] = say,
        keep_alive_s: int = 5,
        shutdown_timeout_s: float = 0.0,
    ) -> None:
        """Answer until `stop` is set. `on_listening` gets the URL once connections are taken."""
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
            headers=[("server", server_name)],
            timeout_keep_alive=keep_alive_s,
        )
        server = _Server(config, stop, lambda: on_listening(self.url), shutdown_timeout_s)
        await server.serve([self._socket])
