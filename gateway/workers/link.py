"""Links that carry messages both ways: in one event loop, or over a socket pair.

A message on the wire is a 4-byte big-endian length and its msgpack. The other end is our own process, yet lengths are
bounded and types are checked all the same: a broken worker must not take the parent with it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

Out = TypeVar("Out", contravariant=True)
In = TypeVar("In")


class Link(Protocol[Out]):
    """One end of a link."""

    def send(self, message: Out) -> None:
        """Deliver in order; a message to an end that is gone is dropped."""

    def close(self) -> None: ...


class LocalLink(Generic[Out]):
    """Delivers within one event loop, through the loop so that a reply never re-enters its sender."""

    def __init__(self, deliver: Callable[[Out], None]) -> None:
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._open = True

    def send(self, message: Out) -> None:
        if self._open:
            self._loop.call_soon(self._deliver, message)

    def close(self) -> None:
        self._open = False


class PipeLink(asyncio.Protocol, Generic[Out, In]):
    """One end of a socket pair. `lost` is called once, when the other end is gone or talks nonsense."""

    def __init__(self, incoming: Any, deliver: Callable[[In], None], lost: Callable[[], None]) -> None:
        """`incoming` is the union type of the messages that may come."""
        self._decode = msgspec.msgpack.Decoder(incoming).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._deliver = deliver
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def send(self, message: Out) -> None:
        if self._transport is not None and not self._transport.is_closing():
            data = self._encode(message)
            self._transport.write(struct.pack(">I", len(data)) + data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop registers no subclass

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            (size,) = struct.unpack_from(">I", buffer)
            if size > MAX_MESSAGE_BYTES:
                self.close()
                return
            if len(buffer) < 4 + size:
                return
            try:
                message = self._decode(bytes(buffer[4 : 4 + size]))
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                self.close()
                return
            del buffer[: 4 + size]
            self._deliver(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()
