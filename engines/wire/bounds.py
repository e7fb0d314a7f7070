"""How much one answer may be before its translation gives up: what an encoder keeps, it keeps as long as the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engines.wire.events import ToolStart

MAX_CALLS: Final = 256
"""Of one answer. OpenAI takes 128 tools of a request. An engine begins a call in 20 bytes, and a client is told of it
in 800: without a bound one event of 400 KB became 17 MB."""
MAX_ITEMS: Final = 1024
"""Blocks of thoughts, texts and calls that a response repeats at its end; an answer has a handful."""
MAX_KEPT_CHARACTERS: Final = 4 * 1024 * 1024
"""What a format says again at its end, or later, is kept until then: eight times what 128,000 tokens are, and half of
the longest event that is relayed."""


class Unsayable(Exception):
    """The answer is more than is translated, or what the client's format has no way to tell; the message says why."""


def admitted(start: ToolStart, answer_id: str) -> str:
    """The id that a client knows this call by, and brings back with its result: the engine's, or one that no other
    answer has. OpenAI takes 40 characters, which 32 of `answer_id` leave room for. Raises `Unsayable`."""
    if start.index >= MAX_CALLS:
        raise Unsayable(f"the engine sent an answer of over {MAX_CALLS} calls")
    return start.id or f"call_{answer_id}{start.index}"


def check_kept(characters: int) -> None:
    """Raises `Unsayable` where so many are kept."""
    if characters > MAX_KEPT_CHARACTERS:
        raise Unsayable(f"the engine sent an answer of over {MAX_KEPT_CHARACTERS} characters")
