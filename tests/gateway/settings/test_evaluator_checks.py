"""What is wrong with an evaluator is told by its key, with what would be right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.settings import ConfigError, load_settings
from gateway.settings.errors import Path
from gateway.settings.evaluator_checks import check_evaluators
from gateway.store.evaluations.evaluator import evaluators_of

ENGINES = {name: {"kind": "vllm", "replicas": [{"url": f"http://{name}.test:8000"}]} for name in "ab"}
SHADOW = {"share": 1, "targets": [{"engine": "b"}], "compare_texts": True}
KEEPS = {"content": True}
JUDGE = {"kind": "http", "url": "http://judge.test/score"}


def document(evaluator: dict[str, Any], *, metrics: Any = ("quality",), **sections: Any) -> dict[str, Any]:
    return {
        "engines": ENGINES,
        "models": {
            "chat": {"targets": [{"engine": "a"}], "shadow": SHADOW, "records": KEEPS},
            "silent": {"targets": [{"engine": "a"}]},
        },
        "feedback": {"metrics": {name: {"type": "number"} for name in metrics}},
        "evaluators": {"quality": evaluator},
        **sections,
    }


def test_a_judge_of_answers_and_a_comparison_of_pairs_are_told_in_a_line() -> None:
    settings = load_settings(json.dumps(document({**JUDGE, "on": "answers"})), {}).settings
    assert settings.evaluators["quality"].part == 0.01
    assert load_settings(json.dumps(document({"kind": "rouge"})), {}).settings.evaluators["quality"].part == 1.0


@pytest.mark.parametrize(
    ("evaluator", "complaint"),
    [
        ({"kind": "http"}, "quality.url is missing"),
        ({"kind": "rouge", "url": "http://x.test"}, "quality.url means nothing to the kind rouge"),
        ({"kind": "rouge", "on": "answers"}, "quality.on does not go with rouge"),
        ({**JUDGE, "models": ["nobody"]}, "quality.models[0] is not a model of this file"),
        ({**JUDGE, "models": ["silent"]}, "quality.models[0] is a model whose texts nobody may see"),
        ({**JUDGE, "share": 2}, "quality.share"),
        ({"kind": "meteor"}, "quality.kind"),
    ],
)
def test_what_is_wrong_is_told_where_it_is(evaluator: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_settings(json.dumps(document(evaluator)), {})
    told = [f"{problem.path} {problem.message}" for problem in error.value.problems]
    assert any(complaint in one for one in told), told


def test_an_evaluator_may_be_of_a_wildcard_or_of_one_of_its_names() -> None:
    target = {"targets": [{"engine": "a"}]}
    models = {"vendor/*": {**target, "records": KEEPS}, "vendor/own": target, "vendor/small-*": target}
    judge = {**JUDGE, "on": "answers"}
    for named, said in (("vendor/*", 0), ("vendor/x", 0), ("vendor/own", 1), ("vendor/small-x", 1), ("other/x", 1)):
        tree = document({**judge, "models": [named]}) | {"models": models}
        assert said == len(complaints(tree)), named
    both = document({**judge, "models": ["vendor/*", "vendor/y"], "share": 1}) | {"models": models}
    (evaluator,) = evaluators_of(load_settings(json.dumps(both), {}).settings)
    names = ("vendor/x", "vendor/y", "vendor/own", "vendor/small-x", "other/x")
    assert ["vendor/x", "vendor/y"] == [name for name in names if evaluator.takes(name, "ab" * 16)]


def complaints(tree: dict[str, Any], *, installed: bool = True) -> list[str]:
    found: list[str] = []

    def report(path: Path, message: str, hint: str = "") -> None:
        found.append(f"{'.'.join(map(str, path))} {message} | {hint}")

    check_evaluators(tree, report, lambda _: installed)
    return found


def test_what_another_section_lacks_is_said() -> None:
    assert complaints(document({"kind": "bleu"}), installed=False) == [
        "evaluators.quality.kind needs sacrebleu, which is not installed | pip install 'penstock[eval]'"
    ]
    assert "is no metric of feedback.metrics" in complaints(document({**JUDGE, "on": "answers"}, metrics=()))[0]
    assert "store.url is off" in complaints(document(JUDGE, store={"url": "off"}))[0]
    nobody = document(JUDGE, models={"silent": {"targets": [{"engine": "a"}]}})
    assert "would see nothing: no model shows its texts" in complaints(nobody)[0]
