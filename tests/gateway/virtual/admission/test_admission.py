"""The modelled line by hand, and the bars on a small run."""

from __future__ import annotations

import random

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.virtual.admission.cases import Case, cases, judged, table
from gateway.virtual.admission.hall import Ask, Hall, Places
from gateway.virtual.intervals import Interval
from routing.waiting.admission import AdmissionSettings

ONE = Places(replicas=1, each=1, base_ms=1000.0, prefill_ms_per_token=0.0, tpot_ms=100.0)
"""An answer of 11 tokens takes 2 s."""


def played(*asks: Ask, **settings: float) -> list[Ask]:
    return Hall(ONE, AdmissionSettings(in_flight=1, **settings)).play(asks)  # type: ignore[arg-type]


def ask(at_s: float, allowed_s: float | None = None, tenant: str = "", tokens: int = 11) -> Ask:
    return Ask(at_s, 100, tokens, tokens, tenant, allowed_s)


def test_requests_take_the_place_in_turn() -> None:
    waits = [one.wait_s for one in played(ask(0.0), ask(0.5), ask(1.0))]
    assert waits == [0.0, 1.5, 3.0]


def test_of_two_tenants_each_goes_in_turn() -> None:
    loud = [ask(0.01 * number, tenant="loud") for number in range(4)]
    quiet = ask(0.5, tenant="quiet")
    played(*loud, quiet)
    assert [one.started_s for one in loud] == pytest.approx([0.0, 2.0, 6.0, 8.0])
    assert quiet.started_s == pytest.approx(4.0)


def learned(seconds: float) -> list[Ask]:
    """Answers that teach the fleet's rates until then."""
    return [ask(2.5 * number) for number in range(int(seconds / 2.5))]


def test_the_oracle_counts_what_runs_and_what_waits_and_the_line_comes_to_the_same() -> None:
    running, waiting = ask(300.0), ask(300.1)
    cases = [ask(300.2, 5.7), ask(300.3, 5.82), ask(300.4, 7.5), ask(300.5, 7.62)]
    # Free at 302, so the one that waits is over at 304, and the next one would be at 306: 5.8 s after 300.2.
    played(*learned(250.0), running, waiting, *cases)
    assert [one.feasible for one in cases] == [False, True, False, True]
    assert [one.admitted for one in cases] == [False, True, False, True]
    assert all(one.ended_s is None or one.ended_s <= one.at_s + (one.allowed_s or 0.0) for one in cases)


def test_what_cannot_be_over_in_time_is_refused_though_there_is_room() -> None:
    late, short = ask(300.0, 1.9), ask(310.0, 1.9, tokens=3)
    played(*learned(250.0), late, short)
    assert (late.feasible, late.admitted, late.started_s) == (False, False, None)
    assert (short.feasible, short.admitted) == (True, True)


def test_the_bars_hold_on_a_small_run_and_every_row_is_printed() -> None:
    told: list[str] = []
    rows = list(cases(2, 15.0, told.append))
    deadlines = [row for row in rows if row.figure in ("admitted late, %", "refused feasible, %")]
    assert len(deadlines) == 16
    assert [row.value.mean for row in deadlines[:8:2]] == [0.0] * 4
    text = table(rows, 2, 15.0)
    assert text.count("\n| ") == len(rows) + 1
    assert "seeds 0 to 1, 15 s each after 60 s of learning" in text
    assert len(told) == 8 + 4 + 2 + 1 + 1
    assert sum(bool(row.each) for row in rows) == 8
    assert [row.holds for row in rows if row.figure == "refused again, %"] == [True]


def test_admission_that_knew_no_lengths_would_miss_the_bar() -> None:
    """The judge tells: where nothing is learned, requests are let in that must be late."""
    rng = random.Random(0)
    asks = [Ask(0.01 * number, 100, limit := rng.randint(32, 512), limit, "", 3.0) for number in range(400)]
    late, _ = judged(asks)
    assert late > 5.0


def test_a_missed_bar_is_said_and_is_the_status_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = Case("m", "f", Interval(3.0, 2.0, 4.0), 2.0)
    assert (missed.holds, Case("m", "f", missed.value, None).holds) == (False, True)
    assert "| 3.00 | 2.00 to 4.00 | 2 | MISSED |  |" in table([missed], 2, 10.0)
    monkeypatch.setattr("gateway.virtual.admission.cases.cases", lambda *_: iter([missed]))
    result = CliRunner().invoke(app, ["simulate-admission", "--seeds", "2"])
    assert (result.exit_code, "MISSED" in result.output) == (1, True)


def test_a_bar_that_no_line_could_keep_to_asks_for_the_best_that_one_could_do() -> None:
    for mean, least, verdict in (
        (1.9, 3.0, "holds"),
        (3.2, 3.0, "no line could"),
        (3.4, 3.0, "MISSED"),
        (2.1, 1.9, "MISSED"),
    ):
        case = Case("m", "f", Interval(mean, mean, mean), 2.0, least, (mean,))
        assert (case.verdict, case.holds) == (verdict, verdict != "MISSED")
        text = table([case], 2, 10.0)
        assert f"| 2 | {verdict} | {mean:.2f} |" in text
        assert ("Only a fleet that keeps places empty" in text) is (verdict == "no line could")
