"""Where ramps were, in a small file of the gateway's own: for a start at which the store is away.

The store is what counts: as soon as it is read, it says where a release is. Until then a restart must not put a canary
back that was rolled back, nor take a promoted one away; and a rollback that the store has not heard of must reach it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

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
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: list[KeptRelease] = []

    def read(self) -> Mapping[tuple[str, str], KeptRelease]:
        """By experiment and arm; nothing of a file that is not there, or damaged."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise ValueError(f"it has more than {MOST_BYTES} bytes")
            found = msgspec.json.decode(data, type=list[KeptRelease])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:  # msgspec's are ValueErrors
            log.warning("ramps_unreadable", file=str(self._path), why=str(error))
            return {}
        return {(one.experiment, one.arm): one for one in found}

    def write(self, kept: list[KeptRelease]) -> None:
        """These and no others, if they are not what it says already. It is whole, or as it was."""
        if kept == self._written:
            return
        self._written = kept
        beside = self._path.with_name(f"{self._path.name}.new")
        try:
            beside.write_bytes(msgspec.json.encode(kept))
            os.replace(beside, self._path)  # noqa: PTH105 - beside the write, at once
        except OSError as error:
            log.error("ramps_not_kept", file=str(self._path), why=error.strerror or str(error))
