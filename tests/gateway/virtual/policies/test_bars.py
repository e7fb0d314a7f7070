"""The comparison's bars: each is met by what it asks for and missed by what is worse."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.virtual.fleet.modelled import Crew
from gateway.virtual.policies.bars import bars
from gateway.virtual.policies.compare import Case, Result
from gateway.virtual.policies.figures import Figures

SEEDS = (-0.01, 0.0, 0.01)
"""What chance does to each figure under three seeds."""


def runs(good: float, p99_s: float, hits: float = 0.8, spread: float = 0.1) -> dict[int, Figures]:
    return {
        seed: Figures(1000, good + spread * off, 10.0, 0.1, p99_s * (1 + spread * off), hits, None, 1.0)
        for seed, off in enumerate(SEEDS, 1)
    }


def judged(result: Result, *more: Result) -> dict[str, bool]:
    found = bars([*more, result], "prefix", {"prefix": "prefix_told"}, "least_load", "slo_refusing")
    return {one.asked: one.met for one in found if one.case == result.case.title}


def shared(load: float, figures: dict[str, dict[int, Figures]], gateways: int = 1) -> Result:
    return Result(Case("shared-prompts", 4, load, Crew(gateways)), 40.0, figures)


@pytest.mark.parametrize(
    ("load", "good", "p99_s", "met"),
    [
        (0.9, 0.95, 0.4, (True, True)),
        (0.9, 0.90, 0.4, (False, True)),  # as many good are not more
        (1.0, 0.95, 0.5, (True, False)),
        (0.5, 0.90, 0.5, (True, True)),  # below, as good is enough
        (0.5, 0.85, 0.6, (False, False)),
    ],
)
def test_ours_is_better_where_engines_are_busy_and_no_worse_where_they_are_not(
    load: float, good: float, p99_s: float, met: tuple[bool, bool]
) -> None:
    found = judged(shared(load, {"prefix": runs(good, p99_s), "dynamo": runs(0.9, 0.5)}))
    assert tuple(found.values()) == met


def test_over_saturation_the_goodput_of_who_refuses_the_late_is_asked_for() -> None:
    def found(good: float, p99_s: float) -> dict[str, bool]:
        figures = {"prefix": runs(0.0, 2.0), "slo_refusing": runs(good, p99_s), "dynamo": runs(0.1, 3.0)}
        return judged(shared(1.2, figures))

    own = "TTFT p99 < dynamo's"
    good, tail = "slo_refusing: good > dynamo's", "slo_refusing: TTFT p99 < dynamo's"
    assert found(0.8, 0.5) == {own: True, good: True, tail: True}
    assert found(0.1, 3.0) == {own: True, good: False, tail: False}
    assert judged(shared(1.2, {"prefix": runs(0.0, 3.0), "dynamo": runs(0.1, 2.0)})) == {own: False}


@pytest.mark.parametrize("scenario", ["shared-prompts", "no-sharing"])
def test_up_to_saturation_nothing_is_to_be_refused_needlessly(scenario: str) -> None:
    def found(load: float, good: float) -> list[bool]:
        figures = {"prefix": runs(0.95, 0.4), "slo_refusing": runs(good, 0.4)}
        return list(judged(Result(Case(scenario, 4, load), 40.0, figures)).values())

    assert (found(0.9, 0.95), found(0.9, 0.90), found(1.0, 0.90)) == ([True], [False], [False])
    assert found(1.2, 0.90) == []


def test_where_both_serve_nearly_all_in_time_chance_may_tell_them_apart() -> None:
    found = judged(shared(0.9, {"prefix": runs(0.9991, 0.4, spread=0.02), "dynamo": runs(0.9992, 0.5, spread=0.01)}))
    assert found == {"good > dynamo's": True, "TTFT p99 < dynamo's": True}


def test_neither_the_same_policy_told_the_truth_nor_an_oracle_has_to_be_beaten() -> None:
    others = {"prefix_told": runs(0.99, 0.1, hits=0.84), "oracle": runs(1.0, 0.1)}
    assert judged(shared(0.9, {"prefix": runs(0.9, 0.5), **others})) == {"hits >= true caches' - 5 pt": True}
    others["prefix_told"] = runs(0.99, 0.1, hits=0.86)
    assert judged(shared(0.9, {"prefix": runs(0.9, 0.5), **others})) == {"hits >= true caches' - 5 pt": False}


def test_where_nothing_is_shared_least_load_alone_is_to_be_matched() -> None:
    def found(good: float) -> list[bool]:
        figures = {"prefix": runs(good, 0.5), "least_load": runs(0.9, 0.5), "dynamo": runs(0.99, 0.1)}
        return list(judged(Result(Case("no-sharing", 4, 1.2), 40.0, figures)).values())

    assert found(0.9) == [True, True]
    assert found(0.8) == [False, True]


def test_several_gateways_are_judged_by_what_one_finds() -> None:
    alone = shared(0.9, {"prefix": runs(0.9, 0.5, hits=0.8)})
    asked = "hits / one gateway's >= 0.9"
    assert judged(shared(0.9, {"prefix": runs(0.5, 2.0, hits=0.73)}, gateways=4), alone) == {asked: True}
    assert judged(shared(0.9, {"prefix": runs(0.5, 2.0, hits=0.71)}, gateways=4), alone) == {asked: False}
    assert judged(shared(0.9, {"prefix": runs(0.5, 2.0)}, gateways=4)) == {}


def test_a_case_without_ours_is_not_judged() -> None:
    assert bars([shared(0.9, {"dynamo": runs(0.9, 0.5)})], "prefix", {}, "least_load") == []


def run(*words: str) -> tuple[int, str]:
    traffic = ("shared-prompts", "--replicas", "2", "--duration", "3", "--seeds", "2", "--jobs", "1")
    result = CliRunner().invoke(app, ["simulate-routing", *traffic, *words])
    return result.exit_code, result.output


def test_the_command_tells_each_bar_and_its_status_says_whether_all_are_met() -> None:
    code, said = run("--loads", "0.5", "--policies", "prefix,round_robin", "--gateways", "1,2")
    assert code == (1 if "MISSED" in said else 0)
    assert len(re.findall(r"  (met|MISSED)$", said, re.MULTILINE)) == 3  # two bars of one gateway, one of two
    assert "2 replicas, 50% of saturation, 2 gateways that share nothing" in said
    assert " of 3 bars met\n" in said


def test_policies_without_ours_are_compared_and_not_judged() -> None:
    code, said = run("--loads", "0.5", "--policies", "least_load,round_robin")
    assert (code, "bars met" in said) == (0, False)
