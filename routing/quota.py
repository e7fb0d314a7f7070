"""What a provider's limits make of a replica: load, before they are reached; once they are, a reason to stand aside.

A key that has used up its limits waits until they are whole again. Of one that has less than `SCARCE` of them left, a
part of that wait is its load: none at `SCARCE`, all of it at nothing. It goes down by itself as the time comes nearer,
and each answer tells anew. So where several keys or providers serve a model the others are asked first, before the 429.
One of several keys that is used up stands aside altogether.
"""

from __future__ import annotations

from typing import Final

from routing.replica import MOST_ASIDE_S, ReplicaState

SCARCE: Final = 0.25


def told(state: ReplicaState, left_ratio: float, reset_s: float, now: float) -> None:
    """An answer says that this part of the scarcest limit is left, and that it is whole again in `reset_s` seconds."""
    state.scarce_until_s = now + reset_s * (1.0 - left_ratio / SCARCE) if left_ratio < SCARCE else 0.0


def refused(state: ReplicaState, after_s: float, now: float) -> None:
    """It refused a request for its limits, which are whole again in `after_s`: until then any other is preferred."""
    state.scarce_until_s = max(state.scarce_until_s, now + min(after_s, MOST_ASIDE_S))


def used_up(state: ReplicaState, after_s: float, now: float) -> None:
    """One of several keys has nothing left, and wants to be left alone for so long: it is asked only when nobody else
    is left, for ten minutes at most."""
    state.limited_until_s = max(state.limited_until_s, now + min(after_s, MOST_ASIDE_S))
    state.aside_until_s = max(state.aside_until_s, state.limited_until_s)
