"""What is kept of replicas that a round was not about is found, and next to nothing is made for it."""

from __future__ import annotations

import gc
from collections.abc import Generator

from gateway.control.asking.asked import AT_ONCE, Asked
from gateway.fleet.steps import at_once
from routing.replicas.replica import ReplicaKey

ENGINES, REPLICAS = 300, 64
KEPT: dict[ReplicaKey, int] = {(f"e{engine}", f"{id}"): id for engine in range(ENGINES) for id in range(REPLICAS)}


def whole(steps: Generator[None, None, list[ReplicaKey]]) -> tuple[list[ReplicaKey], int]:
    """What steps come to, and how many there were."""
    taken = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[ReplicaKey] = end.value
            return found, taken
        taken += 1


def asked_of(*keys: ReplicaKey) -> Asked:
    asked = Asked()
    for key in keys:
        asked.add(*key)
    return asked


def test_the_others_are_those_that_the_round_was_not_about() -> None:
    asked = asked_of(("a", "0"), ("b", "1"))
    kept = [("a", "0"), ("a", "1"), ("b", "0"), ("b", "1"), ("c", "0")]
    assert whole(asked.others(kept))[0] == [("a", "1"), ("b", "0"), ("c", "0")]
    assert whole(Asked().others(kept))[0] == kept
    assert whole(asked.others([]))[0] == []


def test_of_a_round_over_many_replicas_the_collector_sees_next_to_nothing() -> None:
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        asked = asked_of(*KEPT)
        made = len(gc.get_objects()) - before
        taken = largest = 0
        for _ in asked.others(KEPT):
            taken += 1
            largest = max([largest, *(len(each) for each in gc.get_objects(0) if isinstance(each, list))])
    finally:
        gc.enable()
    assert made < 10
    assert taken == len(KEPT) // AT_ONCE
    assert largest < len(KEPT) // 4  # no list of all that is kept


def test_it_is_let_go_of_an_engine_at_a_time() -> None:
    asked = asked_of(*KEPT)
    assert len(list(asked.let_go())) == ENGINES
    assert len(whole(asked.others(KEPT))[0]) == len(KEPT)
    at_once(asked.let_go())
