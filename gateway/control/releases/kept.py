"""Where ramps were, in a small file of the gateway's own: for a start at which the store is away.

The store is what counts: as soon as it is read, it says where a release is. Until then a restart must not put a canary
back that was rolled back, nor take a promoted one away; and a rollback that the store has not heard of must reach it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from engines.files import NotReadable, read_regular
from engines.port import Spawn
from gateway.store.releases.messages import ReleaseChange

NAME: Final = "releases.json"
MOST_BYTES: Final = 4 << 20
"""Of a file that is read; one that is larger is none of ours."""
MOST_UNSENT: Final = 16
"""Changes of one release that wait for the store; older ones are left out."""

log = structlog.get_logger()


class KeptRelease(msgspec.Struct, frozen=True):
    """One release as it was."""

    experiment: str
    arm: str
    ramp: dict[str, Any]
    """`routing.gate.rollout.Rollout.kept`."""
    unsent: Sequence[ReleaseChange] = ()
    """What the store has not heard of."""


class KeptRamps:
    """The file. A thread writes it, one version at a time: a disk that stands still holds no loop and no rollback."""

    def __init__(self, path: Path, spawn: Spawn, may_write: Callable[[], bool] | None = None) -> None:
        """`may_write` is asked in the thread: of several gateways in one directory, one writes. None: this one does."""
        self._path = path
        self._spawn = spawn
        self._may_write = may_write
        self._kept: list[KeptRelease] = []
        self._waiting = b""
        """The newest version that no thread has begun to write."""
        self._idle = asyncio.Event()
        self._idle.set()

    def read(self) -> Mapping[tuple[str, str], KeptRelease]:
        """By experiment and arm; nothing of a file that is not there, or damaged."""
        try:
            if not self._path.exists():
                return {}
            found = msgspec.json.decode(read_regular(self._path, MOST_BYTES), type=list[KeptRelease])
        except (OSError, NotReadable, ValueError) as error:  # msgspec's are ValueErrors
            log.warning("ramps_unreadable", file=str(self._path), why=str(error))
            return {}
        return {(one.experiment, one.arm): one for one in found}

    def keep(self, kept: list[KeptRelease]) -> None:
        """These and no others, if they are not what it says already. Never waits; the newest version is written.

        What may not be written is tried again at the next call: the gateway that may, ends some time.
        """
        if kept != self._kept:
            self._kept = kept
            self._waiting = msgspec.json.encode(kept)
        if self._waiting and self._idle.is_set():
            self._idle.clear()
            self._spawn("ramps_kept", self._write)

    async def settled(self) -> None:
        """Wait until the file says what was kept last, or cannot."""
        await self._idle.wait()

    async def _write(self) -> None:
        try:
            while self._waiting:
                if self._may_write is not None and not await asyncio.to_thread(self._may_write):
                    return
                data, self._waiting = self._waiting, b""
                try:
                    await asyncio.to_thread(_replace, self._path, data)
                except OSError as error:
                    log.error("ramps_not_kept", file=str(self._path), why=error.strerror or str(error))
        finally:
            self._idle.set()


def _replace(path: Path, data: bytes) -> None:
    """The file is whole afterwards, or as it was. Raises OSError."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(data)
    beside.replace(path)
