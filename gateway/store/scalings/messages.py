"""What a gateway tells its writer of decisions about numbers of replicas."""

from __future__ import annotations

import msgspec


class StoredScaling(msgspec.Struct, array_like=True, frozen=True):
    """One decision that changed a number of replicas."""

    number: int
    """Of this decision, among those of its gateway's run."""
    at_ms: int
    engine: str
    had: int
    wanted: int
    why: str
    """`routing.autoscale.decision.Why`."""
    sentence: str


class KeepScalings(msgspec.Struct, tag="keep_scalings"):
    """Asks for `ScalingsKept`: store these. One that is sent twice is stored once."""

    run: str
    """Whose: random digits, of one start of a gateway."""
    decided: list[StoredScaling]


class ScalingsKept(msgspec.Struct, tag="scalings_kept"):
    """They are stored, unless it says why not."""

    away: str = ""
