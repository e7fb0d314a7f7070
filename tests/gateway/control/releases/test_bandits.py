"""Weights go by themselves where answers are best, through the store and as every other decision does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control.releases.spec import BanditPlan, ReleaseSpec
from gateway.store.reports.asked import answer, wanted_decisions
from routing.experiments.bandit import Goal
from routing.gate.guardrail import Guardrail
from routing.gate.observation import ERROR, Assigned, Observation, Settled
from routing.gate.rollout import PAUSED, ROLLED_BACK, RampPlan
from tests.gateway.control.releases.world import DEAD, Gateway, Store, World, spec
from tests.gateway.store.records import sqlite_url
from tests.routing.gate.traffic import Arm

pytestmark = pytest.mark.anyio

WORSE = Arm(errors=0.4)
BETTER = Arm(errors=0.05)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def weighed(**changes: Any) -> ReleaseSpec:
    """An arm whose share a bandit sets, and which the gate would roll back only if it were dead."""
    plan = BanditPlan("errors", Goal(rate=True, floor=0.1), every_s=10.0)
    rails = (Guardrail("errors", alpha=1e-12, tolerance=3.0, margin=4.0),)
    return spec(**{"ramp": RampPlan(()), "share": 0.3, "guardrails": rails, "bandit": plan, **changes})


async def play(world: World, gateway: Gateway, seconds: float, canary: Arm, control: Arm) -> None:
    for _ in range(int(seconds * 2)):
        world.now_s, world.wall_s = world.now_s + 0.5, world.wall_s + 0.5
        gateway.requests(20, canary, control)
        await gateway.releases.step()
        await world.settled()


@pytest.mark.parametrize(("canary", "control", "share"), [(BETTER, WORSE, 0.9), (WORSE, BETTER, 0.1)])
async def test_the_best_arm_gets_all_but_the_floor(
    store: Store, tmp_path: Path, canary: Arm, control: Arm, share: float
) -> None:
    world = World()
    gateway = Gateway(world, store, 1, [weighed()])
    gateway.shares["e1"] = {"canary": 0.3}
    await play(world, gateway, 60, canary, control)
    assert share == pytest.approx(gateway.share)
    weigh, *_ = json.loads(answer(sqlite_url(tmp_path), wanted_decisions({}, 0.0)))["data"]
    assert ("weigh", pytest.approx(share)) == (weigh["action"], weigh["share_after"])
    assert "is the best by errors, at a level of 5 %" in weigh["sentence"]
    again = Gateway(world, store, 1, [weighed()])  # what was decided outlives a restart
    await again.releases.step()
    assert share == pytest.approx(again.share)


async def test_an_arm_that_is_paused_or_dead_is_not_raised(store: Store) -> None:
    world = World()
    gateway = Gateway(world, store, 1, [weighed()])
    gateway.shares["e1"] = {"canary": 0.3}
    await play(world, gateway, 5, BETTER, WORSE)
    gateway.releases.find("chat").ramp.state = PAUSED
    await play(world, gateway, 40, BETTER, WORSE)
    assert gateway.share == pytest.approx(0.3)
    assert gateway.releases.find("chat").gate.requests[1] > 100
    other = Gateway(World(), None, 1, [weighed()])
    other.shares["e1"] = {"canary": 0.3}
    await play(other.world, other, 60, DEAD, BETTER)
    assert (ROLLED_BACK, 0.0) == (other.state, other.share)


async def test_of_several_arms_shares_never_add_up_to_more_than_there_is(store: Store) -> None:
    world = World()
    arms = [
        weighed(arm=arm, position=position, alone=False, share=0.45, most=0.5)
        for position, arm in enumerate(("a", "b"), 1)
    ]
    gateway = Gateway(world, store, 1, arms)
    releases = [gateway.releases.find("chat", arm) for arm in ("a", "b")]
    for _ in range(120):
        world.now_s, world.wall_s = world.now_s + 0.5, world.wall_s + 0.5
        given = [one.ramp.share for one in releases]
        assert sum(given) <= 1.0 + 1e-9
        seen: list[Observation] = []
        parts = (1.0 - sum(given), *given)
        for _ in range(30):
            (arm,) = world.rng.choices(range(3), parts)
            unit, failed = world.rng.getrandbits(64), world.rng.random() < (0.3, 0.2, 0.02)[arm]
            seen += [Assigned("e1", arm, unit, parts), Settled("e1", arm, unit, parts, "", ERROR * failed)]
        gateway.releases.observed(seen)
        await gateway.releases.step()
        await world.settled()
    assert [0.1, 0.5] == [pytest.approx(one.ramp.share) for one in releases]
