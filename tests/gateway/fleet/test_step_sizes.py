"""A change of the fleet is made in steps, none of them large: counted in calls, which a busy machine does not change.

How long a step of 300 models on 64 replicas holds the loop is asserted by `make test-timing` (`tests/timing`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType

import pytest

from engines.http_engine import HttpSettings
from engines.model import Operation
from engines.pools import Pools
from engines.port import Replica
from gateway.fleet.engines import Draft
from gateway.fleet.steps import at_once
from tests.timing.fleet_steps import measure

pytestmark = pytest.mark.anyio

MOST_CALLS = 2_000
"""Of one step. The largest makes 1,500, and takes a tenth of the 2 ms that a change may hold the loop."""


def largest(steps: Iterator[None]) -> int:
    """The calls of the largest step, of Python's functions and of C's."""
    calls, most = 0, 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for _ in steps:
            most, calls = max(most, calls), 0
    finally:
        sys.setprofile(before)
    return max(most, calls)


async def test_no_step_of_a_change_of_40_models_on_32_replicas_makes_many_calls() -> None:
    found = await measure(40, 32, largest, settle=lambda: None)
    assert {change: calls for change, calls in found.items() if calls > MOST_CALLS} == {}


async def test_the_count_sees_what_a_change_in_one_step_would_be() -> None:
    def in_one(steps: Iterator[None]) -> int:
        def one() -> Iterator[None]:
            at_once(steps)
            yield

        return largest(one())

    found = await measure(40, 32, in_one, settle=lambda: None)
    assert {change for change, calls in found.items() if calls <= MOST_CALLS} == {"it is unhealthy"}


async def test_an_engine_of_thousands_of_replicas_is_put_in_steps_whatever_has_changed_of_it() -> None:
    pools, settings, count = Pools(lambda *_: None, environ={}), HttpSettings("vllm", frozenset(Operation)), 3_000
    looks = count // 256

    def put(before: Draft, wanted: tuple[Replica, ...]) -> tuple[Draft, int]:
        draft = Draft(pools, before.engines)
        return draft, sum(1 for _ in draft.put("e", settings, wanted))

    many = tuple(Replica(f"{number}", f"http://h:{1 + number % 7}") for number in range(count))
    made, steps = put(Draft(pools, {}), many)
    assert steps == looks + count // 16 + looks  # listed; added a few at a time, while all are looked at
    assert made.engines["e"].replicas == {replica.id: replica for replica in many}
    same, steps = put(made, tuple(map(replace, many)))
    assert same.engines["e"] is made.engines["e"]
    assert steps == 2 * looks
    moved, steps = put(made, (*many[:-1], replace(many[-1], url="http://other:1")))
    assert steps == 3 * looks
    assert moved.engines["e"].replicas["2999"].url == "http://other:1"
    assert moved.engines["e"].engine is made.engines["e"].engine
    fewer, steps = put(made, many[:-1])
    assert steps == 2 * looks
    assert list(fewer.left()) == [("e", "2999")]
    turned, _ = put(made, many[::-1])
    assert turned.engines["e"].ids == tuple(reversed(made.engines["e"].ids))
