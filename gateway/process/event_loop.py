"""The event loop of a process that must be able to end while a thread of its own stands still.

`asyncio.to_thread` runs what may block (a file on a disk or a mount that hangs) on the loop's default executor.
`asyncio.run` joins the threads of that executor at its end, and `concurrent.futures` those of every one before the
interpreter ends: one system call that never returns would leave nothing but SIGKILL. Nobody joins the
threads of this one.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import uvloop

P = ParamSpec("P")
T = TypeVar("T")


class UnjoinedThreads(ThreadPoolExecutor):
    """Runs each call on a daemon thread of its own, so a call that hangs neither holds the exit nor keeps others
    waiting. Starting one takes some 50 us: that is for work that touches files, and for nothing that each request does.

    A ThreadPoolExecutor in name alone: event loops take no other as their default."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)  # none is ever started
        self._numbers = itertools.count()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin `fn` at once. Raises RuntimeError when the process can start no thread."""
        future: Future[T] = Future()
        thread = threading.Thread(
            target=_run, args=(future, fn, args, kwargs), name=f"beside-{next(self._numbers)}", daemon=True
        )
        thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Waits for nobody, whatever is asked."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop whose threads hold no exit: what `asyncio.Runner` takes as its `loop_factory`."""
    loop = uvloop.new_event_loop()
    loop.set_default_executor(UnjoinedThreads())
    return loop


def _run(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # whoever awaits it is told
        future.set_exception(error)
    else:
        future.set_result(result)
