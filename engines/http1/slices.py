"""What TLS decrypts reaches a connection one slice at a time, so that a paused one holds little.

The loop's TLS layer reads a whole socket read ahead and would hand over all of it at once, then read the next one while
we are paused. With a buffer of ours it decrypts only what fits, and asks again in the next turn of the loop unless we
have paused by then; the rest stays encrypted, and while there is any the socket is not read.

An end of file must not overtake bytes that wait, for the layer drops them then: hence a mark of one byte, and a last
slice that takes a record's remains with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from engines.http1.connection import Connection

RECORD_BYTES: Final = 16 * 1024
"""RFC 8446 section 5.1: what one record brings at most, and what TLS may hold decrypted."""
SLICE_BYTES: Final = 32 * 1024
"""Half of this costs a large answer a third more CPU than no slices at all, this a sixth."""
BUFFER_BYTES: Final = SLICE_BYTES + RECORD_BYTES + 256
"""The largest slice: a slice, a record's remains, and what the layer adds to its hint."""
TLS_WRITE_BYTES: Final = 64 * 1024
"""Over this, what is encrypted and not sent stops the writing, as on plain connections; by itself 512 KiB would."""


class Slices(asyncio.BufferedProtocol):
    """Stands between TLS and a connection."""

    __slots__ = ("_buffer", "_connection")

    def __init__(self, connection: Connection, buffer: memoryview) -> None:
        """`buffer`: of `BUFFER_BYTES`; free between the calls, so that connections may share it."""
        self._connection = connection
        self._buffer = buffer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        limits = cast("Any", transport)
        limits.set_read_buffer_limits(high=1, low=0)
        limits.set_write_buffer_limits(high=TLS_WRITE_BYTES)
        self._connection.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """`sizehint`: what has come, or a little more. What is left after a slice is more than a record, then."""
        buffer = self._buffer
        return buffer if sizehint <= len(buffer) else buffer[:SLICE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
