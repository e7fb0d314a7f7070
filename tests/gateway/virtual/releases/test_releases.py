"""Releases in virtual time: the same evidence as the gate's, and tables that say what they measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gateway.cli import rollout_simulate
from gateway.cli.app import app
from gateway.store.__main__ import open_database
from gateway.virtual.releases import bench as releases_bench
from gateway.virtual.releases.amounts import loaded, slow_found
from gateway.virtual.releases.bench import LEAST_RUNS
from gateway.virtual.releases.replayed import replays
from gateway.virtual.releases.table import Figure, Table, markdown, median, oracles, part
from gateway.virtual.releases.worlds import BETTER, FINE, NEVER, WORSE, Bets, Ramp, World, rolled_back, sticky_ramp
from routing.gate.evidence import Evidence, against_no_worse, against_worse
from tests.gateway.store.records import Made, sqlite_url


@pytest.mark.parametrize(
    ("evidence", "bets"),
    [
        (against_no_worse(1.1), Bets(1.1, WORSE)),
        (against_no_worse(1.0, fine=True), Bets(1.0, FINE)),
        (against_worse(1.5), Bets(1.5, BETTER)),
    ],
)
def test_the_evidence_is_the_gates_after_every_event(evidence: Evidence, bets: Bets) -> None:
    rng = np.random.default_rng(1)
    canary, share = rng.random(300) < 0.2, rng.uniform(0.01, 0.6, 300)
    path = np.concatenate([bets.path(canary[:120], share[:120]), bets.path(canary[120:], share[120:])])
    expected = []
    for one, then in zip(canary, share, strict=True):
        evidence.event(bool(one), float(then))
        expected.append(evidence.log_value)
    assert path == pytest.approx(expected)
    assert bets.log_value == pytest.approx(expected[-1])


def test_the_first_time_that_evidence_is_enough() -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(200):
        canary, share = rng.random(60) < 0.3, np.full(60, 0.2)
        enough = Bets(1.0, WORSE).path(canary, share) >= np.log(20.0)
        expected = int(enough.argmax()) if enough.any() else NEVER
        assert Bets(1.0, WORSE).crosses(canary, share, 0.05) == expected
        found.append(expected)
    assert len(set(found)) > 20
    assert Bets(1.0, WORSE).crosses(np.zeros(0, np.bool_), np.zeros(0), 0.05) == NEVER


def test_worlds_have_the_events_that_they_say() -> None:
    rng, world = np.random.default_rng(2), World(0.2, 0.05, 3.0)
    at, canary = world.events(rng, 100_000)
    assert len(at) / 100_000 == pytest.approx(0.05 * 0.8 + 0.15 * 0.2, rel=0.05)
    assert canary.mean() == pytest.approx(0.03 / 0.07, rel=0.05)
    assert (at.min() >= 1, at.max() <= 100_000, len(set(at))) == (True, True, len(at))
    share = world.observed(rng, at, canary, 0.2)
    assert share[-1] == pytest.approx(0.2, abs=0.01)


def test_what_is_worse_is_found_and_what_is_not_seldom_is() -> None:
    rng = np.random.default_rng(3)
    ends = [rolled_back(rng, World(0.05, 0.01, 3.0), 100_000, level=0.05, rho=1.0, configured=0.05) for _ in range(60)]
    assert NEVER not in ends
    assert 150 < sorted(ends)[30] * 0.05 < 450
    same = [rolled_back(rng, World(0.05, 0.01), 20_000, level=0.05, rho=1.0, configured=0.05) for _ in range(60)]
    assert sum(end != NEVER for end in same) <= 9
    assert sum(sticky_ramp(rng, level=0.05, requests_per_step=2_000) for _ in range(20)) <= 4


def test_a_ramp_ends_as_its_canary_is() -> None:
    rng = np.random.default_rng(4)
    good = [Ramp(200.0, 0.01, 1.0).play(rng) for _ in range(10)]
    assert {end for end, _ in good} == {"promote"}
    assert min(seconds for _, seconds in good) == 4 * 600.0
    assert {Ramp(200.0, 0.01, 3.0).play(rng)[0] for _ in range(10)} == {"rollback"}
    assert Ramp(0.01, 0.01, 1.0, most_s=1800.0).play(rng)[0] == "hold"


def test_slow_canaries_and_busy_ones() -> None:
    rng = np.random.default_rng(5)
    slow = [slow_found(rng, 0.5, 1.5, 2_000, level=0.05, per_user=True) for _ in range(20)]
    assert sum(end != NEVER for end in slow) >= 18
    raw = [loaded(rng, 0.2, 1.0, 1.4, 5_000, level=0.05, residual=False) for _ in range(10)]
    taken_out = [loaded(rng, 0.2, 1.0, 1.4, 5_000, level=0.05, residual=True) for _ in range(10)]
    assert sum(end != NEVER for end in raw) >= 9
    assert sum(end != NEVER for end in taken_out) <= 3


def test_figures_say_whether_their_bar_is_met() -> None:
    assert part("a", [NEVER] * 95 + [1] * 5, 0.05, 100).met
    assert not part("a", [NEVER] * 80 + [1] * 20, 0.05, 100).met
    assert median("a", [100, 110, 130, NEVER], 100) == Figure(
        "a", "110 (found in 75.0%)", "100, 20 % more at most", True
    )
    assert not median("a", [130], 100).met
    assert median("a", [100], 99, exact=True).bar == "at most 99"
    assert not median("a", [NEVER], 99).met
    assert all(one.met for one in oracles(np.random.default_rng(1), 1).figures)
    written = markdown(Table("t", [Figure("a", "1", "2", False)]))
    assert written == "**t**\n\n| | measured | bar | |\n|---|---|---|---|\n| a | 1 | 2 | **missed** |\n"


@pytest.mark.parametrize(("runs", "written"), [(LEAST_RUNS - 1, False), (LEAST_RUNS, True)])
def test_a_quick_look_is_not_written(
    runs: int, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    met = Table("t", [Figure("a", "1", "2", True)])
    monkeypatch.setattr(releases_bench, "tables", lambda seed, runs: [met])
    page = tmp_path / "page.md"
    page.write_text(f"{releases_bench.BEGIN}\nold\n{releases_bench.END}\n")
    assert releases_bench.main(["--runs", str(runs), "--write", str(page)]) == 0
    assert ("| a | 1 | 2 | met |" in page.read_text()) is written
    assert ("keeps its tables" in capsys.readouterr().out) is not written


def test_rollout_simulate_says_how_often_and_after_how_long() -> None:
    result = CliRunner().invoke(app, ["rollout", "simulate", "--rate", "200", "--ratio", "5", "--runs", "10"])
    assert result.exit_code == 0
    assert result.output.startswith("200 requests/s, errors 0.01 and 0.05, steps 1,5,25,50 %, 10 runs, seed 1\n")
    assert "rolled back" in result.output
    assert "100.0%" in result.output
    wrong = CliRunner().invoke(app, ["rollout", "simulate", "--steps", "1,x"])
    assert (wrong.exit_code, "write percent above 0" in wrong.output) == (2, True)


def record(number: int, **changes: Any) -> dict[str, Any]:
    fields = {
        "record_id": f"{number:032x}",
        "key_id": f"k{number % 50}",
        "tenant": "t",
        "status": 200,
        "attempts": 1,
        "finish_reason": "stop",
        "error": "",
        "ttft_ms": 100.0 + number % 37,
        "tpot_ms": 10.0,
        "duration_ms": 500.0 + number % 91,
        "cost_usd": 0.001,
    }
    return fields | changes


def test_replayed_records_are_rolled_back_as_seldom_as_alpha_says() -> None:
    records = [record(number, status=500 if number % 20 == 0 else 200) for number in range(400)]
    told = {one.metric: one for one in replays(records, 0.2, unit="request", alpha=0.05, runs=10, seed=1)}
    assert told["errors"].events == 20
    assert all(one.alarms <= 3 for one in told.values())
    by_key = replays(records, 0.2, unit="key", alpha=0.05, runs=2, seed=1)
    assert by_key[0].events == 5  # of keys, each once


def test_aa_test_replays_what_the_store_has(tmp_path: Path) -> None:
    url, made = sqlite_url(tmp_path), Made()
    database = open_database(url)
    database.insert([made.some(120)])
    database.close()
    words = ["aa-test", made.one().model, "--store", url, "--since", "2020-01-01", "--runs", "10"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "rolled back (alpha 1.0%)" in result.output
    few = CliRunner().invoke(app, ["aa-test", "nobody", "--store", url, "--since", "2020-01-01"])
    assert (few.exit_code, "too few to say anything" in few.output) == (1, True)


@pytest.mark.parametrize("command", [["rollout", "simulate"], ["aa-test", "chat"]])
def test_without_numpy_the_commands_say_what_they_need(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_simulate, "find_spec", lambda name: None)
    ended = CliRunner().invoke(app, command)
    assert (ended.exit_code, "pip install 'penstock[load]'" in ended.output) == (1, True)
