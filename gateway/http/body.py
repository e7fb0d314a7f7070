"""The body of the request that is being read: counted, bounded, and held in one piece however small its pieces are."""

from __future__ import annotations

from io import BytesIO
from typing import Final

from gateway.errors import Failure
from gateway.http.head import MAX_HEADERS

MAX_FRAMING_BYTES: Final = 64 * 1024
"""Chunk framing allowed on top of as much as there is body."""

_UNITS = ((1 << 20, "MiB"), (1 << 10, "KiB"))


class Body:
    """One for each connection; `begin` starts the next."""

    __slots__ = ("_first", "_limit_bytes", "_rest", "_wire_bytes", "chunked", "size")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._first = b""
        self._rest: BytesIO | None = None
        self._wire_bytes = 0
        self.size = 0
        """How many bytes of it are in."""
        self.chunked = False

    def begin(self, length: int) -> None:
        """A body of this many bytes, or `head.CHUNKED`. Raises Failure when that is over the limit."""
        if length > self._limit_bytes:
            raise self._too_large()
        self.chunked = length < 0
        self._wire_bytes = 0

    def add(self, piece: bytes) -> Failure | None:
        """Take the next piece; returns why not."""
        size = self.size = self.size + len(piece)
        if size > self._limit_bytes:
            return self._too_large()
        if self._rest is not None:
            self._rest.write(piece)
        elif self._first:
            # A list would hold fifty bytes more for each piece, and a piece may be one byte.
            self._rest = rest = BytesIO()
            rest.write(self._first)
            rest.write(piece)
            self._first = b""
        else:
            self._first = piece
        return None

    def take(self) -> bytes:
        """The whole body; what is held is let go."""
        # Not a copy, which would take 15 ms for 16 MiB: what it wrote is what it gives.
        body = self._first if self._rest is None else self._rest.getvalue()
        self.drop()
        return body

    def drop(self) -> None:
        """Let go of what is held."""
        self._first = b""
        self._rest = None
        self.size = 0

    def framing(self, read_bytes: int, trailers: int) -> Failure | None:
        """Another read comes in a chunked body: whether sizes, extensions and trailers so far are in proportion."""
        before = self._wire_bytes
        self._wire_bytes = before + read_bytes
        if trailers > MAX_HEADERS:
            return Failure("headers_too_large", f"the request has more than {MAX_HEADERS} trailers")
        if before > 2 * self.size + MAX_FRAMING_BYTES:
            return Failure("invalid_http", "the request's chunks hold more framing than body")
        return None

    def _too_large(self) -> Failure:
        limit = self._limit_bytes
        shown = next((f"{limit // of} {unit}" for of, unit in _UNITS if limit % of == 0), f"{limit:,} bytes")
        told = f"the request body is over the {shown} that the gateway takes (`limits.body_bytes`)"
        return Failure("body_too_large", told)
