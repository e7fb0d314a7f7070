"""Releases over one gateway and several: decisions are stored, taken over, and never wait for a store to roll back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from gateway.control.releases import kept as kept_file
from gateway.control.releases import rollout
from gateway.control.releases.deciding import AGAIN_S
from gateway.control.releases.kept import KeptRamps, KeptRelease
from gateway.control.releases.rollout import AWAY, NoRelease
from gateway.control.releases.spec import Hook
from gateway.store.releases.messages import ReleasesSynced, SyncReleases
from gateway.store.reports.asked import answer, wanted_decisions
from routing.gate.guardrail import Guardrail
from routing.gate.observation import ERROR, Measured, Settled
from routing.gate.rollout import IDLE, PROMOTED, RAMPING, ROLLED_BACK, RampPlan, Step
from tests.gateway.control.releases.world import CLEAN, DEAD, Gateway, Store, World, spec
from tests.gateway.store.records import sqlite_url
from tests.routing.gate.traffic import Arm, changed

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def world() -> World:
    return World()


def decided(directory: Path) -> list[tuple[str, float]]:
    told = json.loads(answer(sqlite_url(directory), wanted_decisions({}, 0.0)))["data"]
    return [(one["action"], one["share_after"]) for one in reversed(told)]


async def test_a_good_canary_is_ramped_and_promoted_by_itself(world: World, store: Store, tmp_path: Path) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(120, gateway)
    assert (gateway.state, gateway.share) == (PROMOTED, 1.0)
    assert decided(tmp_path) == [("start", 0.1), ("advance", 0.5), ("promote", 1.0)]


async def test_a_dead_one_is_rolled_back_within_a_look_and_the_reason_is_kept(
    world: World, store: Store, tmp_path: Path
) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(2, gateway)
    assert gateway.share == 0.1
    await world.play(1, gateway, canary=DEAD)
    assert (gateway.state, gateway.share) == (ROLLED_BACK, 0.0)
    (last,) = json.loads(answer(sqlite_url(tmp_path), wanted_decisions({"limit": "1"}, 0.0)))["data"]
    assert "errors were the canary's, whose share is" in last["sentence"]
    assert last["numbers"]["evidence"][0]["metric"] == "errors"
    await world.play(60, gateway)
    assert gateway.share == 0.0


@pytest.mark.parametrize("kept", [True, False])
async def test_without_a_store_it_works_as_well_until_a_restart(world: World, store: Store, kept: bool) -> None:
    gateway = Gateway(world, store if kept else None, 1, [spec()])
    await world.play(25, gateway)
    assert gateway.share == 0.5
    again = Gateway(world, store if kept else None, 1, [spec()])
    await world.play(1, again)
    assert again.share == (0.5 if kept else 0.1)


async def test_a_restart_in_mid_ramp_keeps_the_evidence(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec(guardrails=(Guardrail("errors", alpha=1e-9),))])
    await world.play(25, gateway, canary=Arm(errors=0.1))
    before = gateway.releases.find("chat")
    assert before.gate.requests[1] > 100
    store.decider = None
    again = Gateway(world, store, 1, [spec(guardrails=(Guardrail("errors", alpha=1e-9),))])
    await again.releases.step()
    after = again.releases.find("chat")
    assert (after.ramp.step, after.version) == (before.ramp.step, before.version)
    assert before.gate.requests == after.gate.requests
    assert before.gate.state() == after.gate.state()


async def test_the_only_gateway_loses_with_its_death_half_a_second_and_with_its_end_nothing(
    world: World, store: Store
) -> None:
    specs = [spec(guardrails=(Guardrail("errors", alpha=1e-9),))]
    gateway = Gateway(world, store, 1, specs)
    await world.play(17, gateway)  # evidence was stored at ten seconds
    known = sum(gateway.releases.find("chat").gate.requests)
    gateway.requests(10)
    await gateway.releases.step()  # weighed, and not told
    killed = Gateway(world, store, 1, specs)
    store.decider = None
    await killed.releases.step()
    assert known == sum(killed.releases.find("chat").gate.requests)
    killed.requests(7)
    await killed.releases.close()
    stopped = Gateway(world, store, 1, specs)
    store.decider = None
    await stopped.releases.step()
    assert known + 7 == sum(stopped.releases.find("chat").gate.requests)


async def test_the_end_waits_for_no_store_that_hangs_or_is_away(
    world: World, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(2, gateway)
    monkeypatch.setattr(rollout, "CLOSE_S", 0.0)
    store.hangs = asyncio.Event()
    await gateway.releases.close()
    store.hangs = None
    store.away = "gone"
    await world.play(1, gateway)
    asked = len(store.asked)
    await gateway.releases.close()
    assert asked == len(store.asked)


async def test_two_gateways_decide_as_one(world: World, store: Store, tmp_path: Path) -> None:
    gateways = [Gateway(world, store, 2, [spec()]) for _ in range(2)]
    await world.play(120, *gateways)
    assert [(one.state, one.share) for one in gateways] == [(PROMOTED, 1.0)] * 2
    assert decided(tmp_path) == [("start", 0.1), ("advance", 0.5), ("promote", 1.0)]


async def test_what_only_the_other_gateway_sees_is_rolled_back_for_both(world: World, store: Store) -> None:
    first, second = (Gateway(world, store, 2, [spec()]) for _ in range(2))
    await world.play(3, first, second)
    assert [first.share, second.share] == [0.1, 0.1]
    second.requests(40, DEAD)
    for _ in range(3):
        world.now_s += 0.3
        for one in (first, second):
            await one.releases.step()
    assert [first.share, second.share] == [0.0, 0.0]


async def test_the_next_gateway_decides_when_the_first_is_gone(world: World, store: Store) -> None:
    first, second = (Gateway(world, store, 2, [spec()]) for _ in range(2))
    await world.play(15, first, second)
    assert (first.releases.decides, second.releases.decides) == (True, False)
    store.decider = second
    await world.play(100, second)
    assert (second.state, second.share) == (PROMOTED, 1.0)


async def test_while_the_store_is_away_nothing_goes_up(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(5, gateway)
    store.away = "connection refused"
    await world.play(120, gateway)
    assert gateway.share == 0.1
    release = gateway.releases.find("chat")
    assert gateway.releases.sentence(release).startswith("the store is away (connection refused)")
    assert await gateway.releases.deciding.pressed(release, release.ramp.promote("alice")) == AWAY
    store.away = ""
    await world.play(120, gateway)
    assert gateway.share == 1.0


async def test_while_the_store_is_away_each_gateway_rolls_back_by_what_it_sees(
    world: World, store: Store, tmp_path: Path
) -> None:
    first, second = (Gateway(world, store, 2, [spec()]) for _ in range(2))
    await world.play(3, first, second)
    store.away = "connection refused"
    await world.play(5, second, canary=DEAD)
    assert [first.share, second.share] == [0.1, 0.0]
    assert decided(tmp_path) == [("start", 0.1)]
    store.away = ""
    await world.play(1, first, second, rate_per_s=0)
    assert [first.share, second.share] == [0.0, 0.0]
    assert decided(tmp_path) == [("start", 0.1), ("rollback", 0.0)]


async def test_a_gateway_that_starts_while_the_store_is_away_starts_no_ramp(world: World, store: Store) -> None:
    store.away = "connection refused"
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(20, gateway)
    assert (gateway.state, gateway.share) == (IDLE, 0.0)


async def test_a_reload_in_mid_ramp_keeps_the_share_and_takes_the_new_steps(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(25, gateway)
    plan = RampPlan((Step(0.1, 20.0), Step(0.5, 20.0), Step(0.8, 20.0)), min_units=10)
    gateway.releases.use([spec(ramp=plan)], gateways=1)
    assert gateway.share == 0.5
    assert gateway.releases.find("chat").gate.requests[1] > 0
    await world.play(30, gateway)
    assert gateway.share == 0.8


async def test_a_reload_with_steps_in_between_takes_no_unit_back(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(25, gateway)
    plan = RampPlan([Step(share, 5.0) for share in (0.05, 0.1, 0.2, 0.5, 0.6)], min_units=10)
    gateway.releases.use([spec(ramp=plan)], gateways=1)
    shares = []
    for _ in range(40):
        await world.play(0.5, gateway)
        shares.append(gateway.share)
    assert shares == sorted(shares)
    assert set(shares) == {0.5, 0.6, 1.0}


async def test_another_bundle_is_another_experiment(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(25, gateway)
    gateway.releases.use([spec(experiment="e2")], gateways=1)
    assert gateway.releases.find("chat").ramp.state == IDLE
    await world.play(1, gateway)
    assert gateway.shares["e2"] == {"canary": 0.1}


async def test_other_guardrails_have_evidence_anew(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(5, gateway)
    gateway.releases.use([spec(guardrails=(Guardrail("refusals"),))], gateways=1)
    assert gateway.releases.find("chat").gate.requests == [0, 0]
    assert gateway.share == 0.1


async def test_what_people_press_counts_and_their_key_is_kept(world: World, store: Store, tmp_path: Path) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(2, gateway)
    release = gateway.releases.find("chat")
    for button in ("pause", "resume", "abort", "start", "promote"):
        assert await gateway.releases.deciding.pressed(release, getattr(release.ramp, button)("alice")) == ""
        await gateway.releases.step()
    told = json.loads(answer(sqlite_url(tmp_path), wanted_decisions({}, 0.0)))["data"]
    assert [(one["action"], one["by"]) for one in reversed(told)] == [
        ("start", ""),
        ("pause", "alice"),
        ("resume", "alice"),
        ("abort", "alice"),
        ("start", "alice"),
        ("promote", "alice"),
    ]
    assert gateway.share == 1.0
    assert release.ramp.round == 2


async def test_of_two_who_press_at_once_one_is_told(world: World, store: Store) -> None:
    first, second = (Gateway(world, store, 2, [spec()]) for _ in range(2))
    await world.play(2, first, second)
    one, other = first.releases.find("chat"), second.releases.find("chat")
    pause, promote = one.ramp.pause("alice"), other.ramp.promote("bob")
    assert await first.releases.deciding.pressed(one, pause) == ""
    problem = await second.releases.deciding.pressed(other, promote)
    assert problem == "somebody else has just changed it: look again"
    assert second.state == "paused"


async def test_who_is_asked_may_hold_every_step_but_no_rollback(world: World, store: Store) -> None:
    kinds = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion")
    gateway = Gateway(world, store, 1, [spec(hooks=[Hook(kind, "http://h/") for kind in kinds])])
    for kind, share in (("confirm-rollout", 0.0), ("confirm-traffic-increase", 0.1), ("confirm-promotion", 0.5)):
        gateway.hooks.against = {kind: f"{kind}: http://h/ answered 403"}
        await world.play(100, gateway)
        assert gateway.share == share
        assert gateway.releases.sentence(gateway.releases.find("chat")) == f"{kind}: http://h/ answered 403"
        gateway.hooks.against = {}
        await world.play(AGAIN_S + 1, gateway)
    assert gateway.share == 1.0
    assert set(gateway.hooks.asked) == set(kinds)
    assert gateway.hooks.told[-2:] == [("event", "promote"), ("post-rollout", "promote")]


async def test_somebody_outside_may_want_it_back(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec(hooks=[Hook("rollback", "http://h/")])])
    await world.play(5, gateway)
    gateway.hooks.wanted_back = "http://h/"
    await world.play(AGAIN_S + 1, gateway)
    assert gateway.state == ROLLED_BACK


async def test_somebody_outside_may_want_it_back_while_another_is_against_the_next_step(
    world: World, store: Store
) -> None:
    hooks = [Hook(kind, "http://h/") for kind in ("confirm-promotion", "rollback")]
    gateway = Gateway(world, store, 1, [spec(hooks=hooks)])
    gateway.hooks.against = {"confirm-promotion": "confirm-promotion: http://h/ answered 403"}
    await world.play(60, gateway)
    release = gateway.releases.find("chat")
    assert gateway.releases.sentence(release) == "confirm-promotion: http://h/ answered 403"
    gateway.hooks.wanted_back = "http://h/"
    await world.play(AGAIN_S + 1, gateway)
    assert gateway.state == ROLLED_BACK
    assert gateway.releases.sentence(release) == "asked for by http://h/: rolled back"


async def test_somebody_is_told_of_a_step_that_was_refused_for_long(world: World, store: Store) -> None:
    ramp = RampPlan((Step(0.5, 5.0),), min_units=10, max_hold_s=20.0)
    gateway = Gateway(world, store, 1, [spec(ramp=ramp, hooks=[Hook("confirm-promotion", "http://h/")])])
    gateway.hooks.against = {"confirm-promotion": "confirm-promotion: http://h/ answered 403"}
    await world.play(90, gateway)
    assert gateway.hooks.told == [("event", "start"), ("event", "held")]
    gateway.hooks.against = {}
    await world.play(AGAIN_S + 1, gateway)
    assert gateway.state == "promoted"


async def test_without_steps_the_file_says_the_share_until_it_is_rolled_back(world: World, store: Store) -> None:
    fixed = spec(ramp=RampPlan(()), share=0.3)
    gateway = Gateway(world, store, 1, [fixed])
    gateway.shares["e1"] = {"canary": 0.3}
    await world.play(5, gateway)
    assert gateway.state == RAMPING
    gateway.releases.use([spec(ramp=RampPlan(()), share=0.4)], gateways=1)
    assert gateway.share == 0.4
    await world.play(5, gateway, canary=DEAD)
    assert (gateway.state, gateway.share) == (ROLLED_BACK, 0.0)


async def test_a_release_is_found_by_its_model(world: World) -> None:
    three = [spec(arm="a"), spec(arm="b", position=2), spec(experiment="e2", model="embed")]
    gateway = Gateway(world, None, 1, three)
    assert gateway.releases.find("embed").spec.experiment == "e2"
    assert gateway.releases.find("chat", "b").spec.position == 2
    for model, arm, why in (("chat", "", "say which: a, b"), ("chat", "c", "no arm 'c'"), ("x", "", "chat, embed")):
        with pytest.raises(NoRelease, match=why):
            gateway.releases.find(model, arm)


async def test_without_releases_nothing_is_kept_of_what_is_seen(world: World) -> None:
    gateway = Gateway(world, None, 1, [])
    gateway.shares["e1"] = {"canary": 0.5}
    gateway.requests(10, CLEAN)
    await gateway.releases.step()
    assert not gateway.releases._waiting


@pytest.mark.parametrize("told", [True, False])
async def test_a_restart_while_the_store_is_away_leaves_a_rolled_back_canary_at_nothing(
    world: World, store: Store, tmp_path: Path, told: bool
) -> None:
    fixed, kept = spec(ramp=RampPlan(()), share=0.3), tmp_path / "releases.json"
    gateway = Gateway(world, store, 1, [fixed], kept)
    gateway.shares["e1"] = {"canary": 0.3}
    await world.play(2, gateway)
    store.away = "" if told else "connection refused"
    await world.play(3, gateway, canary=DEAD)
    store.away = "connection refused"
    again = Gateway(world, store, 1, [fixed], kept)
    await world.play(1, again)
    assert (again.state, again.shares["e1"]) == (ROLLED_BACK, {"canary": 0.0})
    store.away, store.decider = "", None
    await world.play(2, again)
    assert (again.state, decided(tmp_path)) == (ROLLED_BACK, [("rollback", 0.0)])


async def test_a_restart_while_the_store_is_away_keeps_what_is_promoted_and_then_the_store_counts(
    world: World, store: Store, tmp_path: Path
) -> None:
    kept = tmp_path / "releases.json"
    gateway = Gateway(world, store, 1, [spec()], kept)
    await world.play(120, gateway)
    store.away = "connection refused"
    again = Gateway(world, store, 1, [spec()], kept)
    assert (again.state, again.share) == (PROMOTED, 1.0)
    store.away, store.decider = "", None
    other = Gateway(world, store, 1, [spec()])
    await other.releases.step()
    await other.releases.press("chat", "", "abort", "alice")
    await again.releases.step()
    assert again.share == 0.0


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[1]", b'[{"experiment":"e1","arm":"canary","ramp":{"share":"x"}}]', b" " * (5 << 20)],
)
async def test_a_damaged_file_of_ramps_is_none(world: World, store: Store, tmp_path: Path, damage: bytes) -> None:
    kept = tmp_path / "releases.json"
    kept.write_bytes(damage)
    store.away = "connection refused"
    assert Gateway(world, store, 1, [spec()], kept).state == IDLE


async def test_of_two_gateways_in_a_directory_the_second_writes_once_the_first_is_gone(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "releases.json"
    tasks: list[Awaitable[None]] = []
    held = True
    second = KeptRamps(path, lambda _name, work: tasks.append(work()), lambda: not held)
    first = KeptRelease("e1", "canary", {"share": 0.1}, [])
    second.keep([first])
    await tasks.pop()
    assert not path.exists()
    second.keep([first])
    await tasks.pop()
    held = False
    second.keep([first])
    await tasks.pop()
    await second.settled()
    assert second.read() == {("e1", "canary"): first}
    second.keep([first])
    assert not tasks, "what the file says is not written again"


async def test_a_rollback_waits_for_no_disk_that_stands_still_which_is_given_the_newest_once_it_goes_on(
    world: World, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, goes_on, written = asyncio.Event(), threading.Event(), list[bytes]()
    loop = asyncio.get_running_loop()
    really = kept_file._replace

    def hangs(path: Path, data: bytes) -> None:
        loop.call_soon_threadsafe(asked.set)
        goes_on.wait()
        written.append(data)
        really(path, data)

    monkeypatch.setattr(kept_file, "_replace", hangs)
    monkeypatch.setattr(rollout, "FILE_S", 0.01)
    file = tmp_path / "releases.json"
    fixed = spec(ramp=RampPlan(()), share=0.3)
    gateway = Gateway(world, store, 1, [fixed], file)
    gateway.shares["e1"] = {"canary": 0.3}
    try:
        await asked.wait()
        store.away = "connection refused"
        for _ in range(8):
            world.now_s += 0.5
            gateway.requests(20, DEAD)
            await gateway.releases.step()
        assert gateway.shares["e1"] == {"canary": 0.0}
        await gateway.releases.close()  # nor does the end
        assert not file.exists()
    finally:
        goes_on.set()
    await world.settled()
    assert len(written) == 2
    assert Gateway(world, store, 1, [fixed], file).state == ROLLED_BACK
    await world.settled()


async def test_a_rollback_waits_for_no_store_that_hangs(world: World, store: Store) -> None:
    first, second = (Gateway(world, store, 2, [spec()]) for _ in range(2))
    await world.play(3, first, second)
    store.hangs = asyncio.Event()
    await world.play(1.5, first, second, canary=DEAD)
    assert [first.share, second.share] == [0.0, 0.0]
    store.hangs.set()


async def test_what_was_told_to_a_store_that_did_not_answer_counts_once(world: World, store: Store) -> None:
    first, second = (Gateway(world, store, 2, [spec()]) for _ in range(2))
    await world.play(3, first, second)
    await world.play(1, first, second, rate_per_s=0)
    before = sum(first.releases.find("chat").gate.requests)
    lost = 0
    second.requests(10)

    async def unheard(question: SyncReleases) -> ReleasesSynced:
        nonlocal lost
        if lost < 3:
            lost += 1
            store.table(second).sync(question)  # its answer comes too late
            return ReleasesSynced("no answer in 2 s")
        return await store.sync(second, question)

    second.releases._sync = unheard
    await world.play(4, second, first, rate_per_s=0)
    assert (lost, sum(first.releases.find("chat").gate.requests) - before) == (3, 10)


async def test_evidence_of_fixed_weights_outlives_a_restart(world: World, store: Store) -> None:
    fixed = spec(ramp=RampPlan(()), share=0.3)
    gateway = Gateway(world, store, 1, [fixed])
    gateway.shares["e1"] = {"canary": 0.3}
    await world.play(25, gateway)
    store.decider = None
    again = Gateway(world, store, 1, [spec(ramp=RampPlan(()), share=0.4)])
    await again.releases.step()
    release = again.releases.find("chat")
    assert release.gate.requests[1] > 100
    assert (release.version, release.ramp.share) == (0, 0.4)  # nothing was decided: the file says the share


async def test_an_experiment_that_a_reload_adds_takes_no_evidence_from_others(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(18, gateway)
    seen = sum(gateway.releases.find("chat").gate.requests)
    gateway.releases.use([spec(), spec(experiment="e2", model="embed")], gateways=1)
    await world.play(2, gateway, rate_per_s=0)
    assert sum(gateway.releases.find("chat").gate.requests) == seen
    assert gateway.shares["e2"] == {"canary": 0.1}


async def test_gateways_that_a_reload_adds_are_told_and_heard(world: World, store: Store) -> None:
    first, second = (Gateway(world, store, 1, [spec()]) for _ in range(2))
    await world.play(3, first)
    for one in (first, second):
        one.releases.use([spec()], gateways=2)
    await world.play(1, first, second)
    second.requests(40, DEAD)
    await world.play(1, first, second, rate_per_s=0)
    assert [first.share, second.share] == [0.0, 0.0]


async def test_a_refused_rollback_is_tried_again(world: World, store: Store, tmp_path: Path) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(2, gateway)
    sync = gateway.releases._sync
    refused: list[tuple[str, str]] = []

    async def refusing(question: SyncReleases) -> ReleasesSynced:
        stops = [change.release.key for change in question.changes if change.stops]
        if stops and not refused:
            refused.extend(stops)
            return ReleasesSynced(decides=True, refused=stops)
        assert sync is not None
        return await sync(question)

    gateway.releases._sync = refusing
    await world.play(3, gateway, canary=DEAD)
    assert refused
    assert decided(tmp_path)[-1] == ("rollback", 0.0)


async def test_what_is_told_of_the_ramp_before_is_no_evidence_of_the_one_that_began_again(
    world: World, store: Store
) -> None:
    gateway = Gateway(world, store, 1, [spec(guardrails=(Guardrail("errors", alpha=0.05), Guardrail("smiles")))])
    await world.play(5, gateway)
    record_id = f"{int(world.wall_s * 1e3):012x}70008000000000000001"
    release = gateway.releases.find("chat")
    assert "" == (await gateway.releases.press("chat", "", "abort", "alice"))[1]
    await world.play(10, gateway)
    assert "" == (await gateway.releases.press("chat", "", "start", "alice"))[1]
    await world.play(1, gateway)
    requests = list(release.gate.requests)
    late: list[Settled | Measured] = [Settled("e1", 1, unit, (0.9, 0.1), record_id, ERROR) for unit in range(50)]
    late += [Measured("e1", 1, unit, (0.9, 0.1), record_id, "smiles", 1.0) for unit in range(50)]
    gateway.releases.observed(late)
    await gateway.releases.step()
    assert (RAMPING, 2, requests) == (gateway.state, release.ramp.round, release.gate.requests)
    now = f"{int(world.wall_s * 1e3):012x}70008000000000000001"
    gateway.releases.observed([changed(one, record_id=now) for one in late])
    await gateway.releases.step()
    assert ROLLED_BACK == gateway.state


async def test_with_the_gateway_that_decides_nothing_is_lost_that_was_told_since_evidence_was_stored(
    world: World, store: Store
) -> None:
    rails = (Guardrail("errors", alpha=1e-9), Guardrail("smiles", alpha=1e-9))
    first, second = (Gateway(world, store, 2, [spec(guardrails=rails)]) for _ in range(2))
    await world.play(17, first, second)  # evidence was stored at ten seconds
    await world.play(1, first, second, rate_per_s=0)
    before = first.releases.find("chat")
    assert before.gate.requests[0] > 500
    first.requests(10)
    await first.releases.step()  # weighed, and not told: the quarter of a second
    store.decider = second
    await world.play(1, second, rate_per_s=0)
    after = second.releases.find("chat")
    assert 10 == sum(before.gate.requests) - sum(after.gate.requests)
    # And what it tells from then on is weighed once, by whoever is next.
    await world.play(4, second)
    told = sum(after.gate.requests)
    third = Gateway(world, store, 2, [spec(guardrails=rails)])
    await world.play(1, second, third, rate_per_s=0)
    store.decider = third
    await world.play(1, third, rate_per_s=0)
    assert told == sum(third.releases.find("chat").gate.requests)


async def test_a_change_that_is_told_of_is_looked_for_at_the_next_step(world: World, store: Store) -> None:
    gateway = Gateway(world, store, 1, [spec()])
    await world.play(2, gateway)
    asked = len(store.asked)
    await gateway.releases.step()
    assert asked == len(store.asked)
    gateway.releases.changed()
    await gateway.releases.step()
    assert asked + 1 == len(store.asked)
