"""What a provider's limits make of a replica: load, before they are reached; once they are, a reason to stand aside.

A key that has used up its limits waits until they are whole again. Of one that has less than `SCARCE` of them left, a
part of that wait is its load: none at `SCARCE`, all of it at nothing. It goes down by itself as the time comes nearer,
and each answer tells anew. So where several keys or providers serve a model the others are asked first, before the 429.
One of several keys that is used up stands aside altogether.
"""

from __future__ import annotations

from typing import Final

from routing.replicas.replica import MOST_ASIDE_S, ReplicaState

SCARCE: Final = 0.25
LEAST_UNSAID_S: Final = 2.0
MOST_UNSAID_S: Final = 60.0
"""The window that providers count by."""


def told(state: ReplicaState, left_ratio: float, reset_s: float, now: float) -> None:
    """An answer says that this part of the scarcest limit is left, and that it is whole again in `reset_s` seconds."""
    state.scarce_until_s = now + reset_s * (1.0 - left_ratio / SCARCE) if left_ratio < SCARCE else 0.0


def refused(state: ReplicaState, after_s: float, now: float) -> None:
    """It refused a request for its limits, which are whole again in `after_s`: until then any other is preferred."""
    state.scarce_until_s = max(state.scarce_until_s, now + min(after_s, MOST_ASIDE_S))


def refused_unsaid(state: ReplicaState, now: float) -> None:
    """One of several keys refused a request for its limits and does not say until when: it stands aside for two
    seconds, and each time that it refuses again within as long after them, for twice as long, a minute at most."""
    if now < state.limited_until_s:
        return  # of those that were on their way together, one counts
    again = state.unsaid_s > 0.0 and now - state.limited_until_s <= state.unsaid_s
    state.unsaid_s = min(MOST_UNSAID_S, 2.0 * state.unsaid_s) if again else LEAST_UNSAID_S
    used_up(state, state.unsaid_s, now)


def used_up(state: ReplicaState, after_s: float, now: float) -> None:
    """One of several keys has nothing left, and wants to be left alone for so long: it is asked only when nobody else
    is left, for ten minutes at most."""
    state.limited_until_s = max(state.limited_until_s, now + min(after_s, MOST_ASIDE_S))
    state.aside_until_s = max(state.aside_until_s, state.limited_until_s)
