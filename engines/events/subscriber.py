"""Reads one engine's KV events from its ZMQ publisher, on the event loop, a few at a time.

What the loop has no time for waits in ZMQ's own queue, which is bounded; beyond that the sender drops, the feed sees a
gap in the numbers, and what is missing is asked for again. Each question has a socket of its own, so that an answer to
an earlier one is never taken for its own. While one is awaited the publisher is not read.

ZMQ connects again by itself, but not after a message that is longer than allowed: then it gives the address up without
a word, and is given it anew here. What was sent meanwhile is lost, and asked for as after any other gap.

    PUB, from vLLM        [topic, number, payload]
    ROUTER, from vLLM     [empty, (topic,) number, payload] for each batch that it still has, and last of all number -1
    to ROUTER             [empty, number]

The payload is read as data alone (`engines.events.wire`); numbers are 8 bytes, big-endian.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from engines.events.feed import Feed
from engines.events.place import EventsAt
from engines.events.wire import Batch

SLICE_S: Final = 0.0005
"""How long the loop is held at once, and one batch."""
MOST_QUEUED: Final = 64
"""Batches that wait to be read. What finds no room waits with the sender, or is lost and asked for."""
MOST_BYTES: Final = 1024 * 1024
"""Of one message. A step of 65,536 tokens makes 0.6 MiB, and to read a megabyte holds the loop for 30 ms."""
MOST_SOCKETS: Final = 65_536
"""Four for each engine, where ZMQ and the limit on open files allow it."""
ANSWER_S: Final = 5.0
"""How long nothing of a replay may come."""
PAUSE_S: Final = 0.5
"""How long no more of it may come. vLLM sends it in one go; what its socket has no room for (1,000 batches and what is
under way) is dropped without a word, the end included."""
CONNECT_AGAIN_S: Final = 1.0
"""How long after an address was given up it is connected to again; twice as long each time, up to a minute."""
LONGEST_AGAIN_S: Final = 60.0
_NOTICED: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED
_END: Final = (-1).to_bytes(8, "big", signed=True)


def _of_process() -> zmq.Context[zmq.Socket[bytes]]:
    """The context of the process; how many sockets it has room for is settled with its first one."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    context.set(zmq.MAX_SOCKETS, min(MOST_SOCKETS, int(context.get(zmq.SOCKET_LIMIT))))
    return context


class _Readable:
    """A socket whose messages are handed over while there is time, and again in the next turn of the loop."""

    def __init__(self, socket: zmq.Socket[bytes], take: Callable[[list[bytes]], bool]) -> None:
        """`take` returns whether it wants more."""
        self.socket = socket
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._descriptor: int = socket.getsockopt(zmq.FD)  # type: ignore[assignment]
        self._again: asyncio.Handle | None = None
        self._loop.add_reader(self._descriptor, self.read)
        self.soon()

    def soon(self) -> None:
        """Read in the next turn. ZMQ says only once that there is something: who stopped reading has to ask."""
        if self._again is None:
            self._again = self._loop.call_soon(self.read)

    def read(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        until_s = self._loop.time() + SLICE_S
        while not self.socket.closed:
            try:
                message = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if not self._take(message):
                return
            if self._loop.time() >= until_s:
                self.soon()
                return

    def drain(self) -> None:
        """Drop what waits to be read."""
        for _ in range(MOST_QUEUED):
            try:
                self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._descriptor)
        self.socket.close(linger=0)


class Subscriber:
    """One engine's; `close` ends it."""

    def __init__(
        self,
        at: EventsAt,
        apply: Callable[[Batch], None],
        purge: Callable[[bool], None],
        *,
        answer_s: float = ANSWER_S,
        pause_s: float = PAUSE_S,
        again_s: float = CONNECT_AGAIN_S,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        """`apply` and `purge` are those of `Feed`; `context` is that of the process. Raises zmq.ZMQError for an address
        that cannot be used, and where there is no room for another socket."""
        self._at = at
        self._answer_s, self._pause_s = answer_s, pause_s
        self._again_s = self._first_again_s = again_s
        self._again: asyncio.TimerHandle | None = None
        self._connected_at_s = float("-inf")
        self._loop = asyncio.get_running_loop()
        self._context = _of_process() if context is None else context
        self.feed = Feed(apply, purge, self._ask)
        self._replay: _Readable | None = None
        self._timer: asyncio.TimerHandle | None = None
        socket = self._socket(zmq.SUB)
        monitor: zmq.Socket[bytes] | None = None
        try:
            socket.subscribe(at.topic)
            monitor = socket.get_monitor_socket(_NOTICED)
            socket.connect(at.endpoint)
        except zmq.ZMQError:
            socket.disable_monitor()
            if monitor is not None:
                monitor.close(linger=0)
            socket.close(linger=0)
            raise
        self._published = _Readable(socket, self._live)
        self._monitor = _Readable(monitor, self._noticed)

    def close(self) -> None:
        """Read no more."""
        self._end_replay()
        self._await_no_connection()
        self._published.socket.disable_monitor()
        self._monitor.close()
        self._published.close()

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.RCVHWM, MOST_QUEUED)
        socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 5000)
        socket.setsockopt(zmq.IPV6, 1)
        return socket

    # -- the publisher -------------------------------------------------------------------------------------------------

    def _noticed(self, message: list[bytes]) -> bool:
        event = parse_monitor_message(message)["event"]
        self._await_no_connection()  # it is there, or ZMQ says that it sees to it
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._connected_at_s = self._loop.time()
            self._end_replay()
            self._published.drain()
            self.feed.connected()
            self._published.soon()
        elif event == zmq.EVENT_DISCONNECTED:
            self._again = self._loop.call_later(self._next_again_s(), self._connect_again)
        return True

    def _next_again_s(self) -> float:
        if self._loop.time() - self._connected_at_s > LONGEST_AGAIN_S:
            self._again_s = self._first_again_s
        again_s, self._again_s = self._again_s, min(2 * self._again_s, LONGEST_AGAIN_S)
        return again_s

    def _connect_again(self) -> None:
        """Nothing was heard since the connection was lost: ZMQ has given the address up."""
        self._again = None
        socket = self._published.socket
        with suppress(zmq.ZMQError):  # it does not know the address any more
            socket.disconnect(self._at.endpoint)
        socket.connect(self._at.endpoint)

    def _await_no_connection(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _live(self, message: list[bytes]) -> bool:
        if self.feed.asking:
            return False  # what was just read comes with the answer too
        if len(message) == 3 and len(message[1]) == 8:
            self.feed.live(int.from_bytes(message[1], "big"), message[2])
        return not self.feed.asking

    # -- what it repeats -----------------------------------------------------------------------------------------------

    def _ask(self, number: int) -> bool:
        self._end_replay()
        address = self._at.replay_endpoint
        if address is None:
            return False
        socket: zmq.Socket[bytes] | None = None
        try:
            socket = self._socket(zmq.DEALER)
            socket.connect(address)
            socket.send_multipart((b"", number.to_bytes(8, "big")), zmq.NOBLOCK)
        except zmq.ZMQError:
            if socket is not None:
                socket.close(linger=0)
            return False
        self._replay = _Readable(socket, self._replayed)
        self._wait(self._answer_s)
        return True

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._unanswered)

    def _replayed(self, message: list[bytes]) -> bool:
        asked = self._replay
        if len(message) < 3 or len(message[-2]) != 8:
            return True
        if message[-2] == _END:
            self._end_replay()
            self.feed.replay_ended()
        else:
            self._wait(self._pause_s if self.feed.brought else self._answer_s)
            self.feed.replayed(int.from_bytes(message[-2], "big"), message[-1])
            if not self.feed.asking:
                self._end_replay()
        if not self.feed.asking:
            self._published.soon()
        return self._replay is asked

    def _unanswered(self) -> None:
        self._end_replay()
        self.feed.replay_failed()
        self._published.soon()

    def _end_replay(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._replay is not None:
            self._replay.close()
            self._replay = None
