"""A server in a thread of its own that follows a script: known events and counts, and the time at which it sent each.

It answers request n of a session-less workload by what `script(n, body)` says, in the order in which requests arrive.
Its record (`sent_ns`) is kept on the clock that the client uses too, so that the two can be put side by side.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic_ns

from tests.loadtests import wire


class Step:
    """Bytes, and what to wait for before they go."""

    def __init__(self, data: bytes, after_s: float = 0.0) -> None:
        self.data = data
        self.after_s = after_s


Script = Callable[[int, bytes], Sequence[Step]]


def answer(texts: Sequence[str] = ("a", "b", "c"), tokens: int = 5, gap_s: float = 0.0) -> list[Step]:
    """A whole streamed answer, one write per event; with a gap in front of each event that bears content."""
    events = wire.stream(list(texts), tokens)
    steps = [Step(wire.head() + wire.chunked(events[0]))]
    steps += [Step(wire.chunked(event), gap_s) for event in events[1 : 1 + len(texts)]]
    return [*steps, Step(b"".join(map(wire.chunked, events[1 + len(texts) :])) + wire.chunked(b""))]


class Scripted:
    """What the server saw."""

    def __init__(self, script: Script) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.sent_ns: list[list[int]] = []
        """For each request, in order of arrival, when each step was handed to the kernel."""
        self.owner = "vllm"
        """Who `GET /v1/models` says it is."""
        self._script = script

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET "):
                    listed = [{"id": "m", "object": "model", "owned_by": self.owner}]
                    writer.write(wire.plain({"object": "list", "data": listed}))
                    continue
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                number = len(self.bodies)
                self.bodies.append(body)
                self.sent_ns.append(sent := [])
                for step in self._script(number, body):
                    if step.after_s:
                        await asyncio.sleep(step.after_s)
                    sent.append(monotonic_ns())
                    writer.write(step.data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()


@contextmanager
def scripted(script: Script | None = None) -> Iterator[Scripted]:
    """The server, running; without a script it gives every request the same short answer."""
    server = Scripted(script or (lambda number, body: answer()))
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def main() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.run(ready, stop))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
