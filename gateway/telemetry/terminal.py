"""Whether somebody reads along: what goes to a terminal is for people, what goes anywhere else for programs."""

from __future__ import annotations

import os
from typing import Final

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
CYAN: Final = "36"


def is_terminal(descriptor: int) -> bool:
    """Whether this standard stream is a terminal; one that is closed is none."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def takes_colours(descriptor: int) -> bool:
    """Whether it is one that shows colours, and nobody asked for none (https://no-color.org)."""
    return is_terminal(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, *, colours: bool) -> str:
    """`text` in a colour, where there are colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colours and text else text


def printable(text: str, most: int) -> str:
    """`text` with what could drive a terminal escaped, cut at `most`."""
    safe = "".join([char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text])
    return safe if len(safe) <= most else safe[: most - 3] + "..."
