"""Reading a configuration without holding up the streams: in a child process that ends with it.

A thread would not do: checking takes the interpreter for 1.5 s at 300 engines of 64 replicas (thread CPU), and the loop
would wait for it every few milliseconds. The child costs half a second, once per change.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from engines.turns import own_turn
from gateway.control.configuration.reader import Read, Refused, Wanted, read
from gateway.settings import ConfigError, Problem
from gateway.settings.sealed import Sealed

COMMAND = (sys.executable, "-P", "-m", "gateway.control.configuration.reader")
TIMEOUT_S = 60.0

Reading = Callable[[Wanted], Awaitable[Sealed]]
"""Reads and checks a configuration. Raises ConfigError."""


async def in_thread(wanted: Wanted) -> Sealed:
    """In this process, where nothing is held up that matters."""
    return _taken(await asyncio.to_thread(read, wanted))


async def in_child(wanted: Wanted, *, command: Sequence[str] = COMMAND, timeout_s: float = TIMEOUT_S) -> Sealed:
    """In a process of its own. Raises ConfigError, also when the child fails, talks nonsense or takes too long."""
    try:
        child = await asyncio.to_thread(_started, command)
    except OSError as error:
        raise _failed(wanted, (error.strerror or str(error)).lower()) from None
    try:
        said, complaint = await asyncio.to_thread(child.communicate, msgspec.msgpack.encode(wanted), timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        await asyncio.to_thread(child.communicate)
        raise _failed(wanted, f"it took more than {timeout_s:g} s") from None
    except asyncio.CancelledError:
        child.kill()  # the thread that waits for it sees it end
        raise
    if child.returncode != 0:
        # Only the kind of an exception: its text might quote a secret.
        kind = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2].partition(":")[0][:80]
        raise _failed(wanted, f"its reader ended with status {child.returncode}" + (f" ({kind})" if kind else ""))
    await own_turn()  # to take in the parts of 300 engines of 64 replicas takes up to half a millisecond
    try:
        result = msgspec.msgpack.decode(said, type=Read | Refused)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _failed(wanted, "its reader talks nonsense") from None
    await own_turn()  # what is made of it begins in another
    return _taken(result)


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A fork would copy the page tables of a large gateway in the loop's thread, 15 ms of it at 19,200 replicas. This
    way none is made: without `close_fds` it is a vfork, and all our descriptors close on exec."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter, and what it is to run is ours
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,  # ours may stand still, and then the child would
        env=dict(os.environ),
        close_fds=False,
    )


def _taken(result: Read | Refused) -> Sealed:
    if isinstance(result, Refused):
        raise ConfigError(tuple(result.problems), result.source)
    return result.sealed


def _failed(wanted: Wanted, why: str) -> ConfigError:
    source = "configuration" if wanted.path is None else os.fsdecode(wanted.path)
    return ConfigError((Problem("", f"cannot be read: {why}"),), source)
