"""Undoes the compression of an answer that nobody asked for: a piece at a time, and no bomb is unpacked.

We send `accept-encoding: identity`; some proxies compress all the same, and their events and errors must be read.
`gzip` and `deflate` (RFC 9110 section 8.4.1) are what the standard library undoes on every Python we run on.
"""

from __future__ import annotations

import zlib
from typing import Final

PIECE_BYTES: Final = 64 * 1024
"""How much is unpacked at a time: a sink that wants no more can say so in between."""
FREE_BYTES: Final = 1024 * 1024
MAX_RATIO: Final = 100
"""An answer past its first MiB may be this many times what came of it. Text packs 3 to 30 times, a stream of nearly
equal events up to 50; a bomb a thousand times."""

CODINGS: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})

GZIP: Final = 16 + zlib.MAX_WBITS
ZLIB: Final = zlib.MAX_WBITS
RAW: Final = -zlib.MAX_WBITS


class Unpackable(Exception):
    """The bytes are not what their coding says, or unpack to too many. The message continues "the answer"."""


class Decoder:
    """Unpacks one body."""

    __slots__ = ("_came", "_deflate", "_ended", "_limit", "_made", "_packed", "_zlib")

    def __init__(self, coding: bytes, limit: int | None = None) -> None:
        """`coding`: one of `CODINGS`. `limit`: how many bytes it may unpack to, beside the ratio."""
        self._deflate = coding == b"deflate"
        self._limit = limit
        self._packed = b""
        self._came = 0
        self._made = 0
        self._ended = False
        self._zlib = None if self._deflate else zlib.decompressobj(GZIP)

    @property
    def held(self) -> bool:
        """Whether there may be more to `take`."""
        return bool(self._packed)

    @property
    def cut_short(self) -> bool:
        """Whether what came ends in the middle."""
        return self._came > 0 and not self._ended

    def push(self, packed: bytes) -> None:
        """Give what came."""
        self._came += len(packed)
        self._packed = self._packed + packed if self._packed else packed

    def take(self) -> bytes:
        """The next piece; empty when more must come first. Raises Unpackable."""
        while self._packed:
            if self._zlib is None:
                if self._ended:  # bytes after the end of the one stream that deflate has
                    self._packed = b""
                    break
                if len(self._packed) < 2:
                    break
                # "deflate" means zlib's format; some senders leave its two bytes of header out (RFC 9110 8.4.1.2).
                wrapped = self._packed[0] & 15 == 8 and int.from_bytes(self._packed[:2], "big") % 31 == 0
                self._zlib = zlib.decompressobj(ZLIB if wrapped else RAW)
            try:
                piece = self._zlib.decompress(self._packed, PIECE_BYTES)
            except zlib.error:
                raise Unpackable("is not compressed as it says") from None
            self._packed = self._zlib.unconsumed_tail
            if self._zlib.eof:
                self._ended = True
                self._packed = self._zlib.unused_data
                self._zlib = None
                if not self._deflate:  # gzip may have several members
                    if self._packed[:1] not in (b"", b"\x1f"):
                        self._packed = b""
                    else:
                        self._zlib = zlib.decompressobj(GZIP)
                        self._ended = not self._packed
            if piece:
                self._count(len(piece))
                return piece
        return b""

    def _count(self, size: int) -> None:
        self._made += size
        if self._limit is not None and self._made > self._limit:
            raise Unpackable(f"unpacks to over {self._limit} bytes")
        if self._made > FREE_BYTES and self._made > MAX_RATIO * self._came:
            raise Unpackable(f"unpacks to over {MAX_RATIO} times its size")
