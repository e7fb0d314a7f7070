"""What a gateway and its writer say to each other of releases: one question, several times a second."""

from __future__ import annotations

from typing import Final

import msgspec


class StoredRelease(msgspec.Struct, array_like=True, frozen=True):
    """Where one ramp is."""

    experiment: str
    """Its identity."""
    arm: str
    model: str
    name: str
    """Of the experiment."""
    version: int
    ramp: bytes
    """msgpack of `routing.gate.rollout.Rollout.kept`."""

    @property
    def key(self) -> tuple[str, str]:
        return self.experiment, self.arm


class StoredDecision(msgspec.Struct, array_like=True, frozen=True):
    """What was done with a release."""

    at_ms: int
    action: str
    share_before: float
    share_after: float
    sentence: str
    by: str
    numbers: bytes
    """JSON: how far each evidence was."""


class ReleaseChange(msgspec.Struct, array_like=True, frozen=True):
    """A release becomes another. `release.version` is the one that it becomes."""

    release: StoredRelease
    decision: StoredDecision | None
    """None: nothing was decided, it only went on."""
    stops: bool = False
    """It takes effect whatever others did meanwhile: a rollback."""


class StoredEvidence(msgspec.Struct, array_like=True, frozen=True):
    """The evidence of one round of a release."""

    experiment: str
    arm: str
    round: int
    evidence: bytes


FORM: Final = 1
"""In which gateways of this version tell what they observed. Whoever changes that so that this version's reader
(`gateway.control.releases.telling`) cannot read it adds one, and goes on to read the earlier ones."""


class SyncReleases(msgspec.Struct, tag="sync_releases"):
    """Asks for `ReleasesSynced`: store this, tell what is there. All of it, or nothing."""

    experiments: list[str]
    """The identities that are in use here."""
    changes: list[ReleaseChange]
    evidence: list[StoredEvidence]
    observed: list[bytes]
    """For whoever decides now, and whoever does after it: msgpack of what was observed."""
    want_evidence: bool = False
    number: int = 0
    """Of what was observed: the same number again is the same again, and is taken once. 0: it has none."""
    weighed: list[int] = []
    """What whoever decides has weighed already, and the store still has."""
    covered: bool = False
    """Whether `evidence` is of all of that, so that the store may forget it."""


class ReleasesChanged(msgspec.Struct, tag="releases_changed"):
    """Told unasked: some gateway has stored a change of a release."""


class ReleasesSynced(msgspec.Struct, tag="releases_synced"):
    """How releases are."""

    away: str = ""
    """Why nothing was stored and nothing is known."""
    decides: bool = False
    """Whether this gateway is the one that decides."""
    releases: list[StoredRelease] = []
    refused: list[tuple[str, str]] = []
    """Experiment and arm of changes that came too late: somebody else had changed it."""
    evidence: list[StoredEvidence] = []
    observed: list[tuple[int, bytes]] = []
    """Of all gateways, for the one that decides: what it has not weighed, by the store's numbers."""
    later: int = 0
    """Of what gateways observed, how much is there in a form that only a later version than this one reads."""
