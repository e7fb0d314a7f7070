"""The only clocks of the process. The event loop's own clock is good for deadlines, but it stands still within one
turn of the loop and counts whole milliseconds (uvloop), so durations are measured with this one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final


class Sources:
    """Where the time is from. Tests put clocks of their own here: functions that are compiled cannot be replaced."""

    __slots__ = ("monotonic", "wall")

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = time.monotonic
        self.wall: Callable[[], float] = time.time  # noqa: TID251 - the one place that may


SOURCES: Final = Sources()


def monotonic() -> float:
    """Seconds; never steps."""
    return SOURCES.monotonic()


def wall() -> float:
    """Unix seconds, for people and logs; may step."""
    return SOURCES.wall()
