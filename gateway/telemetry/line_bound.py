"""How long a line may be: several processes may write to one pipe, which keeps no more than this together (pipe(7)).

A longer one would be torn by the lines of others. So its long texts are cut, with a mark, until it fits.
"""

from __future__ import annotations

import select
from typing import Final

LINE_BYTES: Final = select.PIPE_BUF
"""With its line end."""
CUTS: Final = (1000, 250, 60, 15)
"""To so many characters at most, the next only where it does not fit yet: thirty texts of the last fit in any case."""
MARK: Final = "..."


def cut(text: str, most: int, *, keep_end: bool = False) -> str:
    """At most so many characters of the text, and the mark in the place of the others."""
    if len(text) <= most:
        return text
    return MARK + text[-most:] if keep_end else text[:most] + MARK


def all_fit(lines: bytes) -> bool:
    """Whether none of these whole lines is too long. Looks at the ends of 4 KiB pieces only: 1 us for 32 lines."""
    at, end = 0, len(lines)
    while end - at > LINE_BYTES:
        stop = lines.rfind(b"\n", at, at + LINE_BYTES) + 1
        if not stop:
            return False
        at = stop
    return True
