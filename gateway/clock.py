"""The only clocks of the process. The event loop's own clock is good for deadlines, but it stands still within one
turn of the loop and counts whole milliseconds (uvloop), so durations are measured with this one."""

from __future__ import annotations

import time

monotonic = time.monotonic
"""Seconds; never steps. 50 ns a call."""

wall = time.time  # noqa: TID251 - the one place that may
"""Unix seconds, for people and logs; may step."""
