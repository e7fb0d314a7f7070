"""What the configuration says of an experiment, as releases; and releases as people see them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.control.releases.plans import specs_of
from gateway.control.releases.spec import ReleaseSpec
from gateway.control.releases.views import report
from gateway.fleet.bundles import plans_of
from gateway.settings.load import load_settings
from routing.gate.guardrail import Guardrail
from routing.gate.observation import Assigned, Measured
from routing.gate.rollout import Step
from tests.gateway.control.releases.world import Gateway, World, spec
from tests.routing.gate.traffic import Arm

pytestmark = pytest.mark.anyio


def specs(experiment: dict[str, Any], **model: Any) -> list[ReleaseSpec]:
    engine = {"kind": "vllm", "replicas": [{"url": "http://127.0.0.1:1"}]}
    target = {"engine": "a", "model": "m"}
    tree = {
        "feedback": {"metrics": {"smiles": {}, "edits": {"type": "number", "better": "lower"}}},
        "engines": {"a": engine, "b": engine},
        "models": {"chat": {"targets": [target], "experiment": experiment, **model}},
    }
    settings = load_settings(json.dumps(tree), {}).settings
    return specs_of(plans_of(settings).values(), settings)


CANARY = {"targets": [{"engine": "b", "model": "m"}]}


def test_a_ramp_with_everything_said() -> None:
    (one,) = specs(
        {
            "salt": "s",
            "unit": "request",
            "arms": {"control": {}, "canary": CANARY},
            "steps": [{"weight": 5, "bake_s": 60}, {"weight": 50}],
            "guardrails": {
                "errors": {"alpha": 0.05, "rho": 1.25, "margin": 2},
                "ttft": {},
                "tpot": {},
                "duration": {},
                "cost": {},
                "smiles": {"better": "higher"},
                "edits": {"better": "lower"},
            },
            "windows": [{"days": ["mon"], "start": "09:00", "end": "17:00", "timezone": "Europe/Berlin"}],
            "webhooks": [{"kind": "event", "url": "http://hooks/", "metadata": {"team": "search"}}],
        },
        slo={"ttft_ms": 500, "tpot_ms": 20, "duration_ms": 9000},
    )
    assert (one.model, one.name, one.arm, one.control, one.position) == ("chat", "chat", "canary", "control", 1)
    assert (one.share, one.sticky, one.alone) == (0.0, False, True)
    assert one.ramp.steps == (Step(0.05, 60.0), Step(0.5, 600.0))
    assert one.guardrails == (
        Guardrail("errors", alpha=0.05, tolerance=1.25, margin=2.0),
        Guardrail("ttft", slo=500.0),
        Guardrail("tpot", slo=20.0),
        Guardrail("duration", slo=9000.0),
        Guardrail("cost"),
        Guardrail("smiles", lower_is_better=False),
        Guardrail("edits", is_rate=False),
    )
    (window,) = one.ramp.windows
    assert window.holds(datetime(2026, 3, 2, 8, 30, tzinfo=UTC))
    assert not window.holds(datetime(2026, 3, 2, 16, 30, tzinfo=UTC))
    assert [(hook.kind, hook.url, hook.metadata) for hook in one.hooks] == [
        ("event", "http://hooks", {"team": "search"})
    ]


def test_several_arms_are_a_release_each() -> None:
    arms = {"a": {"weight": 20} | CANARY, "control": {}, "b": {"weight": 30, "params": {"temperature": {"set": 0.0}}}}
    found = specs({"salt": "s", "arms": arms, "control": "control"})
    assert [(one.arm, one.position, one.share, one.alone, one.sticky) for one in found] == [
        ("a", 1, 0.2, False, True),
        ("b", 2, 0.3, False, True),
    ]
    assert len({one.experiment for one in found}) == 1


async def test_a_report_has_the_arms_side_by_side() -> None:
    world = World()
    rails = (Guardrail("errors", alpha=1e-9), Guardrail("ttft"), Guardrail("refusals"))
    gateway = Gateway(world, None, 1, [spec(guardrails=rails)])
    await world.play(22, gateway, canary=Arm(errors=0.005, ttft_ms=220.0), rate_per_s=200)
    told = report(gateway.releases, gateway.releases.find("chat"))
    assert told["verdict"] == "hold"
    errors, refusals, ttft = told["arms"]
    assert errors["control"] == 0.0
    assert errors["low"] < errors["value"] < errors["high"]
    assert (ttft["difference"], errors["difference"]) == ("ratio", "absolute")
    assert ttft["low"] < 1.1 < ttft["high"]
    assert ttft["canary"] / ttft["control"] == pytest.approx(ttft["value"])
    assert (refusals["canary"], refusals["p"]) == (0.0, None)
    assert {one["test"] for one in told["evidence"]} == {"rollback", "promote", "ceiling", "mismatch"}
    assert 0.05 < told["sample_ratio_p"] <= 1.0


async def test_a_report_has_what_was_told_of_metrics_of_ones_own_of_which_more_is_better() -> None:
    rails = (Guardrail("up", lower_is_better=False), Guardrail("stars", is_rate=False, lower_is_better=False))
    gateway = Gateway(World(), None, 1, [spec(guardrails=rails)])
    gate, shares = gateway.releases.find("chat").gate, (0.5, 0.5)
    for unit in range(400):
        arm = unit % 2
        gate.tell(Assigned("e1", arm, unit, shares))
        if unit < 200:  # of the others nothing is told
            gate.tell(Measured("e1", arm, unit, shares, "", "up", float(arm == 1 or unit % 4 == 0)))
            gate.tell(Measured("e1", arm, unit, shares, "", "stars", 2.0 + arm + unit % 3 / 10))
    up, stars = report(gateway.releases, gateway.releases.find("chat"))["arms"]
    assert (up["control"], up["canary"], up["units"]) == (0.5, 1.0, {"control": 100, "canary": 100})
    assert 0.0 < up["low"] < up["value"] == 0.5 < up["high"]
    assert (stars["control"], stars["canary"]) == (pytest.approx(2.1, abs=0.01), pytest.approx(3.1, abs=0.01))
    assert 0.0 < stars["low"] < 0.99 < stars["value"] < 1.01 < stars["high"]


@pytest.mark.parametrize(("others", "same"), [({}, True), ({"other": {**CANARY, "weight": 10}}, False)])
def test_another_weight_is_another_experiment_only_where_it_moves_units_between_arms(
    others: dict[str, Any], same: bool
) -> None:
    def identity(weight: int) -> str:
        arms = {"control": {}, "canary": {**CANARY, "weight": weight}, **others}
        return specs({"salt": "s", "unit": "request", "arms": arms})[0].experiment

    assert (identity(5) == identity(20)) == same
