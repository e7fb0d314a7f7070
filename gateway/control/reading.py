"""Reading a configuration without holding up the streams: in a child process that ends with it.

A thread would not do: checking takes the interpreter for 1.5 s at 300 engines of 64 replicas (thread CPU), and the loop
would wait for it every few milliseconds. The child costs half a second, once per change.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.control.reader import Read, Refused, Wanted, read
from gateway.settings import ConfigError, Problem
from gateway.settings.sealed import Sealed

TIMEOUT_S = 60.0

Reading = Callable[[Wanted], Awaitable[Sealed]]
"""Reads and checks a configuration. Raises ConfigError."""


async def in_thread(wanted: Wanted) -> Sealed:
    """In this process, where nothing is held up that matters."""
    return _taken(await asyncio.to_thread(read, wanted))


async def in_child(
    wanted: Wanted, *, command: Sequence[str] = ("-P", "-m", "gateway.control.reader"), timeout_s: float = TIMEOUT_S
) -> Sealed:
    """In a process of its own. Raises ConfigError, also when the child fails, talks nonsense or takes too long.

    `command` is what Python is asked to run.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,  # ours may stand still, and then the child would
            env=dict(os.environ),
        )
    except OSError as error:
        raise _failed(wanted, (error.strerror or str(error)).lower()) from None
    try:
        async with asyncio.timeout(timeout_s):
            said, complaint = await child.communicate(msgspec.msgpack.encode(wanted))
    except TimeoutError:
        raise _failed(wanted, f"it took more than {timeout_s:g} s") from None
    except (RuntimeError, OSError):  # uvloop raises RuntimeError where a pipe is closed already
        raise _failed(wanted, f"its reader ended with status {await child.wait()}") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        # Only the kind of an exception: its text might quote a secret.
        kind = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2].partition(":")[0][:80]
        raise _failed(wanted, f"its reader ended with status {child.returncode}" + (f" ({kind})" if kind else ""))
    try:
        result = msgspec.msgpack.decode(said, type=Read | Refused)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _failed(wanted, "its reader talks nonsense") from None
    return _taken(result)


def _taken(result: Read | Refused) -> Sealed:
    if isinstance(result, Refused):
        raise ConfigError(tuple(result.problems), result.source)
    return result.sealed


def _failed(wanted: Wanted, why: str) -> ConfigError:
    source = "configuration" if wanted.path is None else os.fsdecode(wanted.path)
    return ConfigError((Problem("", f"cannot be read: {why}"),), source)
