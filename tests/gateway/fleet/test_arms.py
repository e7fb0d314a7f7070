"""What serves each arm, and what of it outlives a reload."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.experiments.enrolment import Enrolment
from gateway.fleet.members import Member
from gateway.fleet.snapshot import UNNAMED, Serving
from routing.experiments.experiment import Assignment
from tests.gateway.fleet.fleets import Fleets

pytestmark = pytest.mark.anyio

CANARY: dict[str, Any] = {"weight": 20, "targets": [{"engine": "b", "model": "m2"}, {"engine": "c", "model": "m3"}]}


def config(experiment: dict[str, Any] | None = None, **model: Any) -> str:
    """The model `chat` on engine `a`, tier 3, with this experiment."""
    engines = {name: {"kind": "vllm", "replicas": [{"url": f"http://{name}.test:8000", "id": name}]} for name in "abc"}
    chat: dict[str, Any] = {"targets": [{"engine": "a", "model": "m1", "tier": 3}], **model}
    if experiment is not None:
        chat["experiment"] = {"salt": "s1", **experiment}
    return json.dumps({"engines": engines, "models": {"chat": chat, "other": {"targets": [{"engine": "a"}]}}})


def two_arms(canary: dict[str, Any] = CANARY, control: dict[str, Any] | None = None, **more: Any) -> str:
    return config({"arms": {"control": control or {}, "canary": canary}, **more})


def targets(serving: Serving) -> list[tuple[str, str, int]]:
    return [(each.engine, each.model, each.tier) for each in serving.route.endpoints()]


def enrolment(fleets: Fleets) -> Enrolment:
    found = fleets.snapshot.serving["chat", UNNAMED].enrolment
    assert found is not None
    return found


def told(fleets: Fleets, **shares: float) -> None:
    fleets.live.experiments.set_shares(enrolment(fleets).experiment.identity, shares)


async def test_an_arm_has_its_own_targets_first_and_the_models_last_and_one_without_any_has_the_models() -> None:
    fleets = Fleets()
    fleets.configure(two_arms())
    serving = fleets.snapshot.serving
    assert serving.keys() == {("chat", UNNAMED), ("chat", "control"), ("chat", "canary"), ("other", UNNAMED)}
    assert serving["chat", UNNAMED] is serving["chat", "control"]
    assert targets(serving["chat", "control"]) == [("a", "m1", 0)]
    assert targets(serving["chat", "canary"]) == [("b", "m2", 0), ("c", "m3", 1), ("a", "m1", 2)]
    assert serving["chat", "canary"].enrolment is serving["other", UNNAMED].enrolment is None
    assert list(fleets.snapshot.fleet.models) == ["chat", "other"]


async def test_a_target_that_an_arm_names_itself_is_not_asked_again_as_the_models() -> None:
    fleets = Fleets()
    fleets.configure(
        two_arms({"weight": 5, "targets": [{"engine": "b", "model": "x"}, {"engine": "a", "model": "m1"}]})
    )
    assert targets(fleets.snapshot.serving["chat", "canary"]) == [("b", "x", 0), ("a", "m1", 1)]


async def test_only_the_models_targets_stand_in_for_those_of_an_arm_and_only_while_none_of_its_own_is_there() -> None:
    fleets = Fleets()
    fleets.configure(two_arms())
    canary = fleets.snapshot.serving["chat", "canary"]
    own = [canary.upstreams[each] for each in canary.route.endpoints()]
    assert [upstream.exhausted(0.0) for upstream in own] == [False, False, False]
    for name in "bc":
        state = fleets.live.table.find((name, name))
        assert state is not None
        state.healthy = False
    assert [upstream.exhausted(0.0) for upstream in own] == [False, False, True]
    (only,) = fleets.snapshot.serving["chat", "control"].route.endpoints()
    assert not fleets.snapshot.serving["chat", "control"].upstreams[only].exhausted(0.0)


async def test_each_arm_has_its_policy_its_bundle_and_its_series() -> None:
    fleets = Fleets()
    fleets.configure(two_arms({**CANARY, "policy": {"name": "random"}, "params": {"temperature": {"set": 0}}}))
    control, canary = (fleets.snapshot.serving["chat", arm] for arm in ("control", "canary"))
    assert (control.route.policy, canary.route.policy) == ("least_load", "random")
    assert (len(control.request_transforms), len(canary.request_transforms)) == (0, 1)
    ups = [serving.upstreams[next(serving.route.endpoints())] for serving in (control, canary)]
    assert [up.arm for up in ups] == ["control", "canary"]
    assert [up.series.key for up in ups] == [("chat", "a", "control"), ("chat", "b", "canary")]
    assert ups[0].bundle != ups[1].bundle
    assert control.route.budget is not canary.route.budget


async def test_an_arm_of_another_policy_refuses_nobody_for_being_late() -> None:
    fleets = Fleets()
    refusing = {"policy": {"name": "slo"}, "slo": {"ttft_ms": 500, "refuse_late": True}}
    arms = {"control": {}, "canary": {**CANARY, "policy": {"name": "round_robin"}}}
    fleets.configure(config({"arms": arms}, **refusing))
    control, canary = (fleets.snapshot.serving["chat", arm].route for arm in ("control", "canary"))
    assert (control.refuse_late_ms, canary.refuse_late_ms) == (500.0, 0.0)


async def test_the_controls_bundle_is_that_of_the_model_without_an_experiment() -> None:
    fleets = Fleets()
    bundles = []
    for text in (config(), two_arms()):
        fleets.configure(text)
        serving = fleets.snapshot.serving["chat", UNNAMED]
        bundles.append(serving.upstreams[next(serving.route.endpoints())].bundle)
    assert bundles[0] == bundles[1] != ""


async def test_arms_that_differ_in_parameters_alone_wait_in_one_line_and_others_do_not() -> None:
    fleets = Fleets()
    fleets.configure(two_arms({"weight": 20, "params": {"temperature": {"set": 0}}}))
    control, canary = (fleets.snapshot.serving["chat", arm].route for arm in ("control", "canary"))
    assert control.line is canary.line
    fleets.configure(two_arms())
    again, canary = (fleets.snapshot.serving["chat", arm].route for arm in ("control", "canary"))
    assert again.line is control.line is not canary.line


async def test_what_the_model_has_learned_goes_to_the_control_and_comes_back() -> None:
    fleets = Fleets()
    budgets = []
    for text in (config(), two_arms(), config()):
        fleets.configure(text)
        budgets.append(fleets.snapshot.serving["chat", UNNAMED].route.budget)
    assert budgets[0] is budgets[1] is budgets[2]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (two_arms, True),
        (lambda: two_arms({**CANARY, "weight": 40}), True),
        (lambda: two_arms(guardrails={"errors": {}}), True),
        (lambda: two_arms(salt="s2"), False),
        (lambda: two_arms(layer="l"), False),
        (lambda: two_arms(unit="session"), False),
        (lambda: two_arms(buckets=[0, 500_000]), False),
        (lambda: two_arms({**CANARY, "params": {"temperature": {"set": 0}}}), False),
        (lambda: two_arms({"weight": 20, "targets": [{"engine": "b", "model": "m9"}]}), False),
    ],
)
async def test_shares_that_were_told_win_over_the_file_until_salt_units_or_bundles_change(
    change: Callable[[], str], same: bool
) -> None:
    fleets = Fleets()
    fleets.configure(two_arms())
    assert enrolment(fleets).experiment.shares == (0.8, 0.2)
    told(fleets, canary=0.5)
    before = enrolment(fleets).experiment.identity
    fleets.configure(change())
    assert (enrolment(fleets).experiment.identity == before) == same
    assert enrolment(fleets).experiment.shares == ((0.5, 0.5) if same else (0.8, 0.2))


async def test_shares_are_known_before_the_first_request_and_a_ramp_begins_with_nothing() -> None:
    steps: dict[str, Any] = {"steps": [{"weight": 10}, {"weight": 100}]}
    ramped = {key: value for key, value in CANARY.items() if key != "weight"}
    fleets = Fleets()
    fleets.configure(two_arms(ramped, **steps))
    identity = enrolment(fleets).experiment.identity
    assert enrolment(fleets).experiment.shares == (1.0, 0.0)
    joined = Fleets()
    joined.live.experiments.tell([(identity, {"canary": 0.1})])
    joined.configure(two_arms(ramped, **steps))
    assert enrolment(joined).experiment.shares == (0.9, 0.1)


async def test_shares_of_another_experiment_change_nothing_and_impossible_ones_neither() -> None:
    fleets = Fleets()
    fleets.configure(two_arms())
    fleets.live.experiments.set_shares("another", {"canary": 0.9})
    told(fleets, canary=7.0)
    assert enrolment(fleets).experiment.shares == (0.8, 0.2)


async def test_an_arm_that_is_none_any_more_is_served_by_the_control() -> None:
    fleets = Fleets()
    fleets.configure(two_arms())
    known = enrolment(fleets).experiment
    given = [known.assign(f"user-{number}") for number in range(50)]
    canary = next(one for one in given if one is not None and one.arm == "canary")
    assert fleets.snapshot.arm("chat", canary) is fleets.snapshot.serving["chat", "canary"]
    told(fleets, canary=0.0)
    assert fleets.snapshot.arm("chat", canary) is fleets.snapshot.serving["chat", "control"]
    assert fleets.snapshot.arm("chat", known.plain("canary")) is fleets.snapshot.serving["chat", "canary"]  # a preview
    fleets.configure(two_arms(salt="s2"))
    assert fleets.snapshot.arm("chat", canary) is fleets.snapshot.serving["chat", "control"]
    fleets.configure(config())
    assert fleets.snapshot.arm("chat", canary) is fleets.snapshot.serving["chat", UNNAMED]
    assert fleets.snapshot.arm("nobody", canary) is None


async def test_exposure_that_was_lost_stays_counted_over_a_reload() -> None:
    fleets = Fleets()
    for salt in ("s1", "s2"):
        fleets.configure(two_arms(salt=salt))
        enrolment(fleets).lost += 2
    counters, _ = fleets.metrics.others()
    assert [one.value for one in counters if one.name == "penstock_experiment_exposure_lost_total"] == [4]


async def test_a_replica_that_joins_reaches_the_arms_that_name_its_engine() -> None:
    fleets = Fleets()
    text = json.loads(two_arms())
    text["engines"]["b"] = {"kind": "vllm", "launch": {"model": "m2"}}
    fleets.configure(json.dumps(text))
    assert targets(fleets.snapshot.serving["chat", "canary"]) == [("c", "m3", 1), ("a", "m1", 2)]
    fleets.change(Member("b", "0", "http://b.test:1"))
    assert targets(fleets.snapshot.serving["chat", "canary"])[0] == ("b", "m2", 0)
    assert enrolment(fleets).experiment.arms == ("control", "canary")


def test_an_assignment_without_shares_counts_nowhere() -> None:
    assert not Assignment("id", "control", 0).counted
