"""A change of the fleet is made in steps, none of them large: counted in calls, which a busy machine does not change.

How long a step of 300 models on 64 replicas holds the loop is asserted by `make test-timing` (`tests/timing`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

import pytest

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
