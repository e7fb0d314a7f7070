"""A scenario from its file to its exit status: the gateway and two simulators, by command, for three seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from loadtests.cli import commands as cli
from loadtests.scenario.play import lines, play
from loadtests.scenario.spec import Scenario, named, read_scenario, with_urls
from loadtests.scenario.stage import Stage, StageError

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "says": "Requests go where the configuration says, before and after it changes.",
    "simulators": {
        "a": {"models": ["m"], "ttft_ms": 1, "itl_ms": 1},
        "b": {"models": ["m"], "ttft_ms": 1, "itl_ms": 1},
    },
    "gateway": {
        "engines": {
            "one": {"kind": "vllm", "replicas": [{"url": "{a}", "id": "a"}]},
            "two": {"kind": "vllm", "replicas": [{"url": "{b}", "id": "b"}]},
        },
        "models": {"chat": {"targets": [{"engine": "one", "model": "m"}]}},
    },
    "load": {"rate": 30, "duration": "60s", "enough": "1s", "slo": "e2e=20s", "workload": "short"},
    "events": [
        {
            "at": "0s",
            "name": "moved",
            "configure": {"models": {"chat": {"targets": [{"engine": "two", "model": "m"}]}}},
            "until": "metrics.penstock_config_reloads_total:applied == 1",
        },
    ],
    "expect": [
        "failed == 0",
        "replica.b > 5 from moved+200ms",
        "replica.a == 0 from moved+200ms",
        "replica.b == 12345",
    ],
}


def scenario(**changes: Any) -> Scenario:
    return msgspec.convert({**SMALL, **changes}, Scenario)


def test_a_scenario_is_played_and_what_it_misses_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    played = play(scenario(), tmp_path, say=said.append)
    first, second = said
    assert ("0s: configure models", True) == (first, "applied == 1" in second)
    assert [True, True, True, False] == [verdict.met for verdict in played.verdicts]
    assert 1 == played.exit_code
    assert ["met", "met", "met", "MISSED"] == [line.split()[0] for line in lines(played)[:4]]
    assert {"report.json", "report.html", "records.jsonl", "scenario.json"} <= {p.name for p in tmp_path.iterdir()}


def test_what_depends_on_an_event_that_was_not_over_is_missed_and_the_run_ends_all_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    events = [
        {"at": "0s", "name": "never", "until": "metrics.penstock_config_reloads_total == 7"},
        {"at": "0s", "after": "never", "configure": {"models": {}}},
    ]
    load = {**SMALL["load"], "duration": "1s"}
    played = play(
        scenario(events=events, load=load, expect=["failed == 0", "replica.b == 0 from never"]),
        tmp_path,
        say=said.append,
    )
    assert ["never: `metrics.penstock_config_reloads_total == 7` was not seen"] == said
    assert [(True, 0.0), (False, None)] == [(verdict.met, verdict.found) for verdict in played.verdicts]
    assert "found nothing" in lines(played)[1]


def test_a_simulator_that_cannot_start_ends_it_with_its_last_words(tmp_path: Path) -> None:
    broken = scenario(simulators={**SMALL["simulators"], "a": {"ttft_ms": -1}})
    with pytest.raises(StageError, match="ttft_ms is -1"), Stage(broken, tmp_path):
        raise AssertionError("it started")


def test_the_command_line_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(yaml.safe_dump({**SMALL, "expect": []}))
    found = CliRunner().invoke(cli.app, ["scenario", str(file), "--out", str(tmp_path)])
    assert (2, True) == (found.exit_code, "a scenario that expects nothing cannot fail" in found.stderr)
    unknown = CliRunner().invoke(cli.app, ["scenario", "nothing"])
    assert (2, True) == (unknown.exit_code, "expected one of canary-promoted" in unknown.stderr)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"events": [{"at": "1s"}]}, "needs one of kill"),
        ({"events": [{"at": "1s", "kill": "a", "restart": "a"}]}, "needs one of kill"),
        ({"events": [{"at": "1s", "kill": "z"}]}, "names the simulator z"),
        ({"events": [{"at": "1", "kill": "a"}]}, "not a duration"),
        ({"events": [{"at": "1s", "kill": "a", "after": "b"}]}, "comes after b, which no event before it is called"),
        ({"events": [{"at": "1s", "until": "failed == 0"}]}, "an event waits for `metrics.NAME` alone"),
        ({"events": [{"at": "1s", "until": "metrics.x == 0 from 1s"}]}, "an event waits for `metrics.NAME` alone"),
        ({"expect": ["failed == 0 from gone+"]}, "not a duration"),
        ({"expect": ["failed == 0 from gone"]}, "no event is called gone"),
        ({"expect": ["failed"]}, "no expectation"),
        ({"load": {"slo": "ttft"}}, "write name=duration"),
        ({"extra": 1}, "unknown field `extra`"),
    ],
)
def test_a_scenario_that_cannot_be_played_is_refused_in_one_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError), match=said):
        scenario(**changes)


@pytest.mark.parametrize("name", named())
def test_every_scenario_that_comes_along_can_be_read_and_names_its_slo(name: str) -> None:
    read = read_scenario(name)
    assert read.says.endswith(".")
    assert read.load.slo
    assert read.expectations()


def test_urls_are_put_in_wherever_they_are_named() -> None:
    urls = {"a": "http://1", "b": "http://2"}
    assert {"x": ["http://1/v1", {"y": "http://2"}], "n": 3} == with_urls({"x": ["{a}/v1", {"y": "{b}"}], "n": 3}, urls)
