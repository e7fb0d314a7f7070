"""What is wrong with an experiment is told by its key, with what would be right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.settings import ConfigError, experiment_checks, load_settings

ENGINES = {name: {"kind": "vllm", "replicas": [{"url": f"http://{name}.test:8000"}]} for name in "ab"}
ARMS = {"control": {}, "canary": {"weight": 5}}


def document(experiment: dict[str, Any], **sections: Any) -> dict[str, Any]:
    chat = {"targets": [{"engine": "a"}], "experiment": {"salt": "s", "arms": ARMS, **experiment}}
    return {"engines": ENGINES, "models": {"chat": chat}, **sections}


def problems(document: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_settings(json.dumps(document), {})
    return [f"{problem.path} {problem.message} | {problem.hint}" for problem in error.value.problems]


def test_two_arms_and_a_weight_are_enough() -> None:
    section = load_settings(json.dumps(document({})), {}).settings.models["chat"].experiment
    assert section is not None
    assert (section.control_arm, section.others, section.unit) == ("control", ("canary",), "user")
    assert set(section.guardrails) == {"errors", "attempt_failures", "ttft", "tpot", "duration"}


def test_an_arms_targets_have_the_defaults_of_a_models() -> None:
    arms = {"control": {}, "canary": {"weight": 5, "targets": [{"engine": "b"}, {"engine": "a", "model": "x"}]}}
    section = load_settings(json.dumps(document({"arms": arms})), {}).settings.models["chat"].experiment
    assert section is not None
    found = section.arms["canary"].targets
    assert [(target.engine, target.model, target.tier) for target in found] == [("b", "chat", 0), ("a", "x", 1)]


@pytest.mark.parametrize(
    ("experiment", "complaint"),
    [
        ({"arms": {"control": {}}}, "arms compare nothing"),
        ({"arms": {"control": {}, "canary": {}}}, "arms.canary.weight is missing: nobody would be given this arm"),
        ({"arms": {"control": {}, "b": {"weight": 60}, "c": {"weight": 50}}}, "arms have weights of 110 % together"),
        ({"arms": {"control": {"weight": 90}, "b": {"weight": 5}}}, "arms.control.weight and those of the other arms"),
        ({"arms": {"control": {}, "b": {"weight": -1}}}, "arms.b.weight"),
        ({"control": "kontrol"}, "control is not an arm of this experiment | one of control, canary"),
        ({"steps": [{"weight": 5}]}, "arms.canary.weight does not go with steps"),
        ({"buckets": [10, 5]}, "buckets is no range of buckets"),
        ({"buckets": [0, 2_000_000]}, "buckets is no range of buckets"),
        ({"unit": "header:a b"}, "unit"),
        ({"unit": "nobody"}, "unit"),
        ({"guardrails": {"thumbs_up": {}}}, "guardrails.thumbs_up.better is missing"),
        ({"guardrails": {"smile": {"better": "higher"}}}, "guardrails.smile is a metric that nobody can tell"),
        ({"guardrails": {"ttft": {"better": "higher"}}}, "guardrails.ttft.better is known of ttft: lower"),
        ({"guardrails": {"errors": {"margin": 1}}}, "guardrails.errors.margin"),
        ({"targeting": {"keys": ["nobody"]}}, "targeting.keys[0] is no key of this file"),
        ({"windows": [{"timezone": "Mars/Olympus"}]}, "windows[0].timezone is not a known time zone"),
        ({"windows": [{"start": "25:00"}]}, "windows[0].start"),
        ({"webhooks": [{"kind": "hook", "url": "http://x"}]}, "webhooks[0].kind"),
        ({"salt": ""}, "salt is empty"),
        ({"slat": "s"}, "slat is not a known key"),
    ],
)
def test_each_mistake_names_its_key(experiment: dict[str, Any], complaint: str) -> None:
    (first, *_) = problems(document(experiment))
    assert first.startswith(f"models.chat.experiment.{complaint}")


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([{"weight": 5}, {"weight": 5}], "steps[1].weight is not above that of the step before, 5 |"),
        ([{"weight": 0}], "steps[0].weight"),
        ([{"weight": 1, "bake_s": -1}], "steps[0].bake_s"),
    ],
)
def test_a_ramp_only_goes_up(steps: list[Any], complaint: str) -> None:
    arms: dict[str, Any] = {"control": {}, "canary": {}}
    (first, *_) = problems(document({"arms": arms, "steps": steps}))
    assert first.startswith(f"models.chat.experiment.{complaint}")


def test_a_guardrail_and_the_metric_that_it_holds_agree_on_what_is_better() -> None:
    told = {"metrics": {"edits": {"type": "number", "better": "lower"}, "smile": {}}}
    rails = {"edits": {"better": "lower"}, "smile": {"better": "higher"}}
    assert load_settings(json.dumps(document({"guardrails": rails}, feedback=told)), {}).settings.feedback.metrics
    rails = {"edits": {"better": "higher"}, "smile": {"better": "lower"}}
    assert [one.split("experiment.")[1] for one in problems(document({"guardrails": rails}, feedback=told))] == [
        "guardrails.edits.better is another than that of feedback.metrics.edits | lower",
        "guardrails.smile.better is another than that of feedback.metrics.smile | higher",
    ]


def test_steps_ramp_one_arm() -> None:
    (only,) = problems(document({"arms": {"a": {}, "b": {}, "c": {}}, "steps": [{"weight": 5}]}))
    assert "steps ramp one arm, and there are 2 beside the control" in only


@pytest.mark.parametrize("url", [None, "sqlite:///x.db", "off"])
def test_several_gateways_need_a_store_that_they_share_to_ramp(url: str | None) -> None:
    ramp = {"arms": {"control": {}, "canary": {}}, "steps": [{"weight": 5}]}
    store = {} if url is None else {"store": {"url": url}}
    (only, *_) = problems(document(ramp, server={"gateways": 2}, **store))
    assert only == (
        "models.chat.experiment.steps need a store that all 2 gateways share, or each would ramp for itself "
        "| set store.url to postgresql://..."
    )
    shared = {"store": {"url": "postgresql://u:p@db/records"}}
    load_settings(json.dumps(document(ramp, server={"gateways": 2}, **shared)), {})
    load_settings(json.dumps(document({}, server={"gateways": 2}, **store)), {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": [{"weight": 5}], "arms": {"control": {}, "canary": {}}}, "bandit does not go with steps"),
        ({"guardrails": {"ttft": {}}}, "bandit.metric is none of the guardrails | one of ttft; or add it there"),
        ({"bandit": {"metric": "errors", "floor": 0.5}, "arms": {"a": {}, "b": {"weight": 5}, "c": {"weight": 5}}},
         "bandit.floor is more than 3 arms can each have"),
        ({"arms": {"control": {}, "canary": {"weight": 0}}}, "canary.weight gives a bandit nothing to see"),
    ],
)  # fmt: skip
def test_what_a_bandit_cannot_do(changes: dict[str, Any], said: str) -> None:
    arms = {"control": {}, "canary": {"weight": 5}}
    (only, *_) = problems(document({"arms": arms, "bandit": {"metric": "errors"}, **changes}))
    assert said in only
    (shared,) = problems(document({"arms": arms, "bandit": {"metric": "errors"}}, server={"gateways": 2}))
    assert "bandit needs a store that all 2 gateways share, or each would weigh for itself" in shared
    load_settings(json.dumps(document({"arms": arms, "bandit": {"metric": "errors"}})), {})


def test_a_bandit_needs_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_checks, "find_spec", lambda name: None)
    (said,) = problems(document({"bandit": {"metric": "errors"}}))
    assert said == "models.chat.experiment.bandit needs the package numpy | pip install 'penstock[bandit]'"


def other(**experiment: Any) -> dict[str, Any]:
    found = document({"layer": "l", "buckets": [0, 500_000]})
    section = {"salt": "s", "arms": ARMS, "layer": "l", **experiment}
    found["models"]["other"] = {"targets": [{"engine": "a"}], "experiment": section}
    return found


def test_ranges_of_a_layer_do_not_overlap_whatever_models_they_are_of() -> None:
    (only,) = problems(other(buckets=[499_999, 600_000]))
    assert only.startswith("models.other.experiment.buckets overlaps, in the layer l, with models.chat.experiment")
    (only,) = problems(other())
    assert only.startswith("models.other.experiment overlaps, in the layer l")
    load_settings(json.dumps(other(buckets=[500_000, 600_000])), {})
    load_settings(json.dumps(other(layer="m")), {})


def test_experiments_of_a_layer_have_one_salt_or_their_ranges_would_share_units() -> None:
    (only,) = problems(other(buckets=[500_000, 600_000], salt="t"))
    assert only.startswith("models.other.experiment.salt is another than that of models.chat.experiment")


def test_an_arms_engine_must_be_there_and_each_target_once() -> None:
    arms = {"control": {}, "canary": {"weight": 5, "targets": [{"engine": "c"}, {"engine": "b"}, {"engine": "b"}]}}
    first, second = problems(document({"arms": arms}))
    assert first.startswith("models.chat.experiment.arms.canary.targets[0].engine is not an engine of this file")
    assert second.startswith("models.chat.experiment.arms.canary.targets[2] is the same as")


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"temperature": {}}, "temperature says nothing"),
        ({"temperature": {"set": 1, "max": 2}}, "temperature.set does not go with default, min or max"),
        ({"max_tokens": {"min": 9, "max": 5}}, "max_tokens.min is larger than max | max is 5"),
        ({"max_tokens": {"max": 1.5}}, "max_tokens.max should be a whole number"),
        ({"system_prefix": ""}, "system_prefix is empty"),
    ],
)
def test_params_are_judged_in_a_model_and_in_an_arm(params: dict[str, Any], complaint: str) -> None:
    arms = {"control": {}, "canary": {"weight": 5, "params": params}}
    (only,) = problems(document({"arms": arms}))
    assert only.startswith(f"models.chat.experiment.arms.canary.params.{complaint}")
    (only,) = problems({"engines": ENGINES, "models": {"m": {"targets": [{"engine": "a"}], "params": params}}})
    assert only.startswith(f"models.m.params.{complaint}")


def test_without_an_optional_engine_of_an_arm_there_is_no_experiment_and_that_is_said() -> None:
    arms = {"control": {}, "canary": {"weight": 5, "targets": [{"engine": "b"}]}}
    found = document({"arms": arms})
    found["engines"] = {"a": ENGINES["a"], "b": {"kind": "openai", "api_key": "${NOBODY}", "optional": True}}
    loaded = load_settings(json.dumps(found), {})
    assert loaded.settings.models["chat"].experiment is None
    assert "model chat has no experiment: an arm's engine is left out" in loaded.notices
