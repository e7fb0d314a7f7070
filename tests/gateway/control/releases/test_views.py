"""Releases as people and Prometheus see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.control.releases.views import held
from routing.gate.rollout import RampPlan, Step
from tests.gateway.control.releases.world import Gateway, Store, World, spec

pytestmark = pytest.mark.anyio

NEVER_ENOUGH = RampPlan((Step(0.1, 20.0),), min_units=1_000_000, max_hold_s=30.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


async def test_a_ramp_that_is_held_is_told_with_how_long_by_the_gateway_that_decides(store: Store) -> None:
    world = World()
    one, other = (Gateway(world, store, 2, [spec(ramp=NEVER_ENOUGH)]) for _ in range(2))
    await world.play(15, one, other)
    assert [held_s for _, held_s in held(one.releases)] == [0.0], "it bakes"
    await world.play(60, one, other)
    ((release, held_s),) = held(one.releases)
    assert release.spec.ramp.max_hold_s < held_s < 75 - 20 + 1
    assert ("event", "held") in one.hooks.told
    assert held(other.releases) == []
    await one.releases.press("chat", "", "pause", "me")
    assert [held_s for _, held_s in held(one.releases)] == [0.0], "somebody knows"


async def test_what_has_no_steps_and_what_is_over_is_not_held(store: Store) -> None:
    world = World()
    gateway = Gateway(world, store, 1, [spec(ramp=RampPlan(()), share=0.1)])
    await world.play(5, gateway)
    assert held(gateway.releases) == []
    ramped = Gateway(world, None, 1, [spec(ramp=NEVER_ENOUGH)])
    await world.play(60, ramped)
    assert held(ramped.releases)[0][1] > 30.0
    await ramped.releases.press("chat", "", "abort", "me")
    assert held(ramped.releases) == []
