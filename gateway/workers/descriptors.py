"""Looks whether a worker has a file descriptor left. Without one the loop closes each new client unheard, untold.

One is opened and closed a second: to count those that are open takes the longer the more there are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from gateway import clock
from gateway.refusing import shortage
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.loops import OUT_OF_DESCRIPTORS

EVERY_S: Final = 1.0
_WHY: Final = "no file descriptor is left: new clients are let go unheard; raise LimitNOFILE or ulimit -n"


def _opened() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


async def look(metrics: Metrics, opened: Callable[[], int] = _opened) -> None:
    """The step of a loop. `opened` is a descriptor, or raises OSError."""
    try:
        os.close(opened())
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        metrics.count(OUT_OF_DESCRIPTORS)
        shortage.tell(clock.monotonic(), _WHY, OUT_OF_DESCRIPTORS.name)
