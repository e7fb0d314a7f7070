"""What is wrong with a shadow is told by its key, with what would be right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.settings import ConfigError, load_settings

ENGINES = {
    **{name: {"kind": "vllm", "replicas": [{"url": f"http://{name}.test:8000"}]} for name in "ab"},
    "openai": {"kind": "openai", "api_key": "sk-x"},
}
TARGETS = [{"engine": "b"}]
EXPERIMENT = {"salt": "s", "arms": {"control": {}, "canary": {"weight": 5, "targets": [{"engine": "openai"}]}}}


def document(shadow: dict[str, Any], **sections: Any) -> str:
    chat = {"targets": [{"engine": "a"}], "experiment": EXPERIMENT, "shadow": {"share": 0.5, **shadow}}
    return json.dumps({"engines": ENGINES, "models": {"chat": chat}, **sections})


def test_a_share_and_targets_are_enough_and_have_the_defaults_of_a_models() -> None:
    section = load_settings(document({"targets": [{"engine": "b"}, {"engine": "a", "model": "x"}]}), {}).settings
    shadow = section.models["chat"].shadow
    assert shadow is not None
    assert [(target.engine, target.model, target.tier) for target in shadow.targets] == [
        ("b", "chat", 0),
        ("a", "x", 1),
    ]
    assert (shadow.unit, shadow.concurrency, shadow.cost_per_hour_usd, shadow.compare_texts) == (
        "request",
        8,
        None,
        False,
    )


@pytest.mark.parametrize(
    ("shadow", "complaint"),
    [
        ({}, "shadow asks nobody: it has neither an arm nor targets"),
        ({"targets": TARGETS, "arm": "canary"}, "targets do not go with arm"),
        ({"arm": "kanary", "cost_per_hour_usd": 1}, "arm is not an arm of this model's experiment | one of canary"),
        ({"arm": "control"}, "arm is as the model itself: control has no targets"),
        ({"arm": "canary"}, "cost_per_hour_usd is missing, and the engine openai is a provider's"),
        ({"targets": [{"engine": "openai"}]}, "cost_per_hour_usd is missing, and the engine openai is a provider's"),
        ({"targets": [{"engine": "c"}]}, "targets[0].engine is not an engine of this file"),
        ({"targets": TARGETS, "share": 1.5}, "share"),
        ({"targets": TARGETS, "sample": {"keys": ["who"]}}, "sample.keys[0] is no key of this file"),
        ({"targets": TARGETS, "sample": {"operations": ["responses"]}}, "sample.operations[0]"),
        ({"targets": TARGETS, "params": {"temperature": {}}}, "params.temperature says nothing"),
        ({"arm": "canary", "cost_per_hour_usd": 1, "params": {}}, "params do not go with arm"),
    ],
)
def test_what_is_wrong_is_told_where_it_is(shadow: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(document(shadow), {})
    told = [f"{problem.path} {problem.message} | {problem.hint}" for problem in error.value.problems]
    assert any(complaint in one for one in told), told


def test_texts_cannot_be_compared_without_a_store() -> None:
    with pytest.raises(ConfigError, match="is done by the store"):
        load_settings(document({"targets": TARGETS, "compare_texts": True}, store={"url": "off"}), {})


def test_a_shadow_goes_with_an_optional_engine_and_with_the_experiment_whose_arm_it_is() -> None:
    for shadow in ({"targets": [{"engine": "spare"}]}, {"arm": "canary"}):
        experiment = {"salt": "s", "arms": {"control": {}, "canary": {"weight": 5, "targets": [{"engine": "spare"}]}}}
        spare = {"kind": "openai", "api_key": "${SPARE_KEY}", "optional": True}
        chat = {
            "targets": [{"engine": "a"}],
            "experiment": experiment,
            "shadow": {"share": 1, "cost_per_hour_usd": 1, **shadow},
        }
        tree = {"engines": {"a": ENGINES["a"], "spare": spare}, "models": {"chat": chat}}
        loaded = load_settings(json.dumps(tree), {})
        assert loaded.settings.models["chat"].shadow is None
        assert any("has no shadow" in notice for notice in loaded.notices)
