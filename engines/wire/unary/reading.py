"""Reading an engine's answer: what is none of its shape is misread, and says so."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from engines.wire.odd_counts import MOST
from engines.wire.unary.port import Misread

T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Raises Misread."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Misread(f"the engine sent an answer that cannot be read: {error}") from None


def whole(count: float | None) -> int | None:
    """A count of tokens; None where it is none."""
    return int(count) if count is not None and 0 <= count <= MOST else None
