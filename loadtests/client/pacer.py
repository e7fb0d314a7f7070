"""Calls back at an absolute monotonic time, to some tens of microseconds, without burning the core that it waits on.

An event loop's own timers count in milliseconds: at 2,000 requests/s they send in bursts of two. Spinning is exact,
and is the CPU that the client then lacks. The kernel's timer descriptor is exact and sleeps. Where there is none (not
Linux), the loop's timer brings us to within 2 ms and turns of the loop do the rest: a spin, but a bounded one.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

NEAR_NS = 2_000_000
"""From here on the fallback takes turns of the loop instead of sleeping."""

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1


class Pacer(Protocol):
    """One alarm. Setting it again replaces the former."""

    def arm(self, deadline_ns: int) -> None:
        """Call back at, or at once after, this time of time.monotonic_ns()."""

    def close(self) -> None: ...


class _TimeSpec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class TimerFd:
    """The kernel's timer descriptor (timerfd_create(2)), by ctypes: the os module has it only from Python 3.13 on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        """Raises OSError, or AttributeError where libc has no such call."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._spec = _TimeSpec()
        self._address = ctypes.byref(self._spec)
        self._loop = loop
        self._callback = callback
        self._fd = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        loop.add_reader(self._fd, self._rings)

    def arm(self, deadline_ns: int) -> None:
        """See Pacer; about 1.5 us."""
        seconds, self._spec.value_ns = divmod(max(deadline_ns, 1), 1_000_000_000)  # 0 would disarm it
        self._spec.value_s = seconds
        if self._settime(self._fd, _ABSOLUTE, self._address, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _rings(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # armed anew since it rang
        self._callback()


class LoopTimer:
    """The fallback; see the module."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._deadline_ns = 0
        self._handle: asyncio.Handle | None = None

    def arm(self, deadline_ns: int) -> None:
        """See Pacer."""
        self.close()
        self._deadline_ns = deadline_ns
        self._wait()

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wait(self) -> None:
        left_ns = self._deadline_ns - monotonic_ns()
        if left_ns > NEAR_NS:
            self._handle = self._loop.call_later((left_ns - NEAR_NS / 2) / 1e9, self._wait)
        elif left_ns > 0:
            self._handle = self._loop.call_soon(self._wait)
        else:
            self._handle = self._loop.call_soon(self._ring)

    def _ring(self) -> None:
        self._handle = None
        self._callback()


def pacer(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> Pacer:
    """The best one that this system has."""
    if sys.platform == "linux":
        try:
            return TimerFd(loop, callback)
        except (OSError, AttributeError):
            pass
    return LoopTimer(loop, callback)
