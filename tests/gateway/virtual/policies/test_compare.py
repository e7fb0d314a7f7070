"""The comparison and its table, from end to end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.virtual.fleet.modelled import Crew
from gateway.virtual.policies.compare import Plan, compare
from gateway.virtual.policies.named import TWINS
from gateway.virtual.policies.table import table
from gateway.virtual.workloads import chat
from tests.gateway.virtual.traces import write_trace


def plan_of(**changes: object) -> Plan:
    base: dict[str, object] = {
        "scenarios": ("shared-prompts",),
        "replicas": (2,),
        "loads": (0.5, 1.2),
        "policies": ("least_load", "llm_d_epp", "llm_d_epp_precise"),
        "seeds": 2,
        "duration_s": 4.0,
    }
    return Plan(**{**base, **changes})  # type: ignore[arg-type]


def test_every_policy_meets_the_same_calls_and_the_same_plan_gives_the_same_table() -> None:
    plan = plan_of()
    said: list[str] = []
    results = compare(plan, say=said.append)
    assert [(one.case.replicas, one.case.load) for one in results] == [(2, 0.5), (2, 1.2)]
    for one in results:
        counts = [{seed: found.calls for seed, found in seeds.items()} for seeds in one.figures.values()]
        assert set(one.figures) == set(plan.policies)
        assert counts[0].keys() == {1, 2}
        assert counts == [counts[0]] * 3
    text = table(plan, results, "least_load", TWINS)
    assert text == table(plan, compare(plan), "least_load", TWINS)
    rows = [line for line in text.splitlines() if line.startswith("llm_d_epp ")]
    assert len(rows) == 2
    assert all(re.search(r"pt \[\S+, \S+\]  +\S+x \[\S+, \S+\]$", row) for row in rows)
    assert len(said) == 1 + 4


def test_more_processes_give_the_same_results() -> None:
    plan = plan_of(loads=(0.9,), policies=("prefix",), duration_s=2.0)
    assert [one.figures for one in compare(plan)] == [one.figures for one in compare(plan, jobs=2)]


def test_a_policy_that_looks_at_prefixes_finds_more_of_them_than_one_that_does_not() -> None:
    (result,) = compare(plan_of(loads=(0.9,), seeds=1, duration_s=8.0))
    hits = {policy: seeds[1].hit_ratio for policy, seeds in result.figures.items()}
    assert hits["llm_d_epp"] > hits["least_load"] + 0.1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"policies": ("fastest",)}, "unknown policy 'fastest'; known policies: round_robin, "),
        ({"scenarios": ("rush",)}, "'rush' is no file and no scenario; scenarios: shared-prompts, chat, "),
        ({"loads": (None,)}, "shared-prompts has no times of its own: give shares of saturation as loads"),
        ({"loads": (0.0,)}, "seeds, replicas and gateways are 1 or more, and loads above 0"),
        ({"crews": (Crew(0),)}, "seeds, replicas and gateways are 1 or more, and loads above 0"),
        ({"duration_s": 0.0}, "the duration is more than 0 seconds"),
        ({"policies": ()}, "a comparison needs a scenario, a number of replicas, a load and a policy at least"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_one_sentence(changes: dict[str, object], error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        plan_of(**changes)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["simulate-routing", "--jobs", "1", *words])
    return result.exit_code, result.output


def test_the_command_plays_a_recorded_trace_at_its_own_times(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    write_trace(file, chat(1, 20.0, 5.0))
    code, said = run(str(file), "--loads", "recorded", "--replicas", "2", "--policies", "least_load,dynamo")
    assert code == 0
    assert re.search(
        r"chats\.jsonl: \d+ recorded arrivals\n2 replicas, as recorded, one gateway: [\d.]+ requests/s", said
    )
    assert re.search(r"^dynamo .* \d", said, re.MULTILINE)


def test_the_command_says_what_is_wrong_with_its_options(tmp_path: Path) -> None:
    file = tmp_path / "odd.jsonl"
    file.write_text("{}")
    code, said = run(str(file))
    assert (code, said.startswith(f"simulate-routing: {file}:1: Object missing required field")) == (2, True)
    assert run("--loads", "many") == (2, "simulate-routing: could not convert string to float: 'many'\n")
    code, said = run("--against", "nobody", "--policies", "least_load")
    assert (code, said) == (2, "simulate-routing: nobody is not among the policies that are compared\n")
