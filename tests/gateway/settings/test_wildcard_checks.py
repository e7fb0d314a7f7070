"""What a wildcard may have in the configuration, and what it is told that it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.settings import ConfigError, load_settings

REPLICAS = [{"url": "http://a.test:8000"}]
ENGINES: dict[str, Any] = {
    "a": {"kind": "vllm", "replicas": REPLICAS},
    "simulated": {"kind": "simulator"},
    "launched": {"kind": "vllm", "launch": {"model": "x"}},
    "scaled": {"kind": "simulator", "autoscale": {"min": 1, "max": 2}},
}

STARTED = "is started under the names of its models, which a wildcard has not"


def document(name: str, model: dict[str, Any], **sections: Any) -> str:
    return json.dumps({"engines": ENGINES, "models": {name: {"targets": [{"engine": "a"}], **model}}, **sections})


@pytest.mark.parametrize("name", ["*", "vendor/*", "v*"])
def test_the_star_stands_for_the_rest_of_the_name_unless_the_target_says_more(name: str) -> None:
    targets = [{"engine": "a"}, {"engine": "a", "model": "eu.*-v1"}, {"engine": "a", "model": "one"}]
    loaded = load_settings(document(name, {"targets": targets}), {}).settings
    assert ["*", "eu.*-v1", "one"] == [target.model for target in loaded.models[name].targets]


@pytest.mark.parametrize(
    ("name", "model", "at", "complaint"),
    [
        (
            "v/*",
            {"experiment": {"salt": "s", "arms": {"control": {}, "canary": {"weight": 5}}}},
            "experiment",
            "compares answers of one model, and a wildcard stands for many",
        ),
        (
            "v/*",
            {"shadow": {"share": 0.5, "targets": [{"engine": "a"}]}},
            "shadow",
            "copies the requests of one model, and a wildcard stands for many",
        ),
        (
            "v/*",
            {"targets": [{"engine": "scaled"}]},
            "targets[0].engine",
            "follows the traffic of the models it is known to serve, and a wildcard stands for many",
        ),
        ("v/*", {"targets": [{"engine": "simulated"}]}, "targets[0].engine", STARTED),
        ("v/*", {"targets": [{"engine": "launched"}]}, "targets[0].engine", STARTED),
        ("v/*", {"targets": [{"engine": "a", "model": "*/*"}]}, "targets[0].model", "has more than one star"),
        (
            "v",
            {"targets": [{"engine": "a", "model": "*"}]},
            "targets[0].model",
            "has a star, which stands for what the star of a wildcard does",
        ),
        ("v*w", {}, "", "is not a usable name"),
        ("v/**", {}, "", "is not a usable name"),
    ],
)
def test_what_one_model_only_can_have_is_told_where_it_stands(name: str, model: Any, at: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(document(name, model), {})
    told = [(problem.path, problem.message) for problem in raised.value.problems]
    where = f"models.{name}" if name == "v" else f'models."{name}"'
    assert (f"{where}.{at}" if at else where, complaint) in told


def test_a_key_may_name_a_wildcard_and_what_it_serves_and_nothing_else() -> None:
    def with_key(models: list[str]) -> str:
        return document("v/*", {}, auth={"keys": [{"id": "k", "sha256": "0" * 64, "models": models}]})

    load_settings(with_key(["v/*", "v/x", "*"]), {})
    with pytest.raises(ConfigError, match="is not a model of this file"):
        load_settings(with_key(["w/x"]), {})
