"""What this gateway saw of releases, on its way through the store to whoever decides, and whoever decides after that.

A gateway that does not decide tells what it saw. The one that does tells it too, though it has weighed it: should it
die, the next one, or the same one when it is back, goes on from the evidence that was stored last and from all that was
told since. So each observation stays in the store until evidence that covers it is there, and what is lost with a
gateway is what it saw since it last told: `SYNC_S`, a quarter of a second, or half of one where it is the only one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec
import structlog

from gateway.experiments.seen import packed, unpacked
from gateway.experiments.seen_before import unpacked_rows
from routing.gate.observation import Observation

MOST_UNTOLD: Final = 200_000
"""Observations that wait to be told."""
MOST_WEIGHED: Final = 1_000
"""Batches in the store that are weighed; with so many, evidence is due."""

_decode: Final = msgspec.msgpack.Decoder(tuple[str, bytes | list[tuple[int, msgspec.Raw]]]).decode
"""The second is how gateways of the version before this one tell, and have told: both run at once in an upgrade."""

LATER: Final = (
    "gateways of a later version have told {} batches of what they saw, which this one cannot read: nothing goes up "
    "until one of theirs decides"
)

log = structlog.get_logger()


class Telling:
    """See the module."""

    def __init__(self, token: Callable[[], str] = secrets.token_hex) -> None:
        self._new_token = token
        self._token = ""
        """Marks what was weighed here before it was told; empty where this gateway does not decide."""
        self._untold: list[Observation] = []
        self._batch = b""
        """What the store was given last and may have: it is given the same again until it says so."""
        self.number = 0
        """Of the batch."""
        self.weighed: list[int] = []
        """What was weighed of what the store has, by its numbers."""
        self.unread = 0
        """Batches of the store that nobody can read here: damaged ones, which count nowhere, and those of a later
        version, which wait in the store for a gateway of that version to decide."""
        self._later = 0
        """Of the latter those that wait now."""

    def saw(self, some: Sequence[Observation]) -> int:
        """Take these; returns for how many there was no room."""
        room = max(0, MOST_UNTOLD - len(self._untold))
        self._untold.extend(some if len(some) <= room else some[:room])
        return max(0, len(some) - room)

    def batch(self) -> bytes:
        """What is to be told now, if anything."""
        if self._untold and not self._batch:
            self._batch, self._untold = msgspec.msgpack.encode((self._token, packed(self._untold))), []
            self.number += 1
        return self._batch

    def told(self) -> None:
        """The store has the batch."""
        self._batch = b""

    def to_cover(self) -> Callable[[], None]:
        """Evidence of all that was weighed is on its way; what is returned is called when the store has it: nothing
        that was weighed by now needs to be told any more."""
        count, weighed = len(self._untold), len(self.weighed)

        def covered() -> None:
            self._batch = b""
            del self._untold[:count], self.weighed[:weighed]

        return covered

    def begin(self) -> list[Observation]:
        """This gateway decides from now on; returns what it saw and nobody has weighed yet nor was told."""
        self._token, self.weighed = self._new_token(), []
        return list(self._untold)

    def end(self) -> None:
        """Another one decides."""
        self._token, self.weighed = "", []

    def heard(self, observed: Iterable[tuple[int, bytes]]) -> Iterator[Observation]:
        """What is to be weighed of what the store has."""
        for number, data in observed:
            self.weighed.append(number)
            try:
                token, told = _decode(data)
                if not token or token != self._token:
                    yield from unpacked(told) if isinstance(told, bytes) else unpacked_rows(told)
            except ValueError as error:  # what msgspec raises is one
                self.unread += 1
                log.error("observations_unreadable", why=str(error))

    def waits(self, later: int) -> str:
        """So many batches wait in the store that only a later version reads; returns why nothing goes up, if so."""
        self.unread += max(0, later - self._later)
        if later and not self._later:
            log.warning("observations_of_a_later_version", batches=later, what="nothing goes up until one decides")
        self._later = later
        return LATER.format(later) if later else ""
