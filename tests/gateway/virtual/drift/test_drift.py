"""The worlds for drift are what they say, and a quick look at some of them sees what the table sees."""

from __future__ import annotations

from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

from gateway.virtual.drift import table as drift_table  # noqa: E402 - they need numpy
from gateway.virtual.drift.judging import TEST_DAYS, Counts, judge_world  # noqa: E402
from gateway.virtual.drift.rates import first_of_each, in_sessions, independent, learned  # noqa: E402
from gateway.virtual.drift.worlds import WORLDS, play  # noqa: E402
from routing.drift.detector import Once  # noqa: E402


def test_a_world_has_windows_of_one_size_with_a_deviation_of_1_and_capped_users() -> None:
    days = play(WORLDS[0], 300, 2, np.random.default_rng(1))
    assert (48, 300) == days.logs.shape == days.weights.shape
    assert 0.9 < days.logs.std() < 1.1
    assert 0.0 < days.weights.min() < 1.0 == days.weights.max()
    plain, capped = days.histogram(3, weighted=False), days.histogram(3)
    assert plain.total == 300.0
    assert capped.total == pytest.approx(days.weights[3].sum())
    assert days.histogram(3, 0.5).mean_log == pytest.approx(capped.mean_log + 0.5, abs=0.02)


def test_a_quiet_world_has_next_to_no_alarms_and_a_shift_is_found() -> None:
    counts = Counts()
    counts.add(judge_world(WORLDS[0], 500, 11))
    assert TEST_DAYS == counts.days
    assert counts.alarmed <= 1
    assert counts.seen >= 0.8 * counts.chances
    assert counts.seen_in_six == counts.runs


def test_a_rate_that_triples_is_found_soon_and_one_that_stays_late() -> None:
    rng = np.random.default_rng(5)
    assert independent(0.03, 0.01, rng) < 5_000
    assert independent(0.01, 0.01, rng) > 5_000
    assert in_sessions(rng, once=True, factor=10.0) < 10_000
    assert 0.005 < learned(20_000, rng) < 0.015


def test_users_are_counted_as_the_gateway_counts_them() -> None:
    who = np.random.default_rng(2).integers(0, 40, 1_000)
    once = Once(1_000)
    assert [at for at, user in enumerate(who) if once.counts(int(user))] == first_of_each(who).tolist()


def test_a_missed_bar_is_told_and_the_tables_go_between_their_marks(tmp_path: Path) -> None:
    bars = drift_table.Bars()
    bars.check("good", 0.005, most=0.01)
    bars.check("bad", 0.02, most=0.01)
    bars.check("low", 0.5, least=0.9)
    assert ["bad: 0.02, must be at most 0.01", "low: 0.5, must be at least 0.9"] == bars.missed
    page = tmp_path / "page.md"
    page.write_text(f"before\n{drift_table.BEGIN}\nold\n{drift_table.END}\nafter\n")
    drift_table.into(page, "new\n")
    assert page.read_text() == f"before\n{drift_table.BEGIN}\nnew\n{drift_table.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no place"):
        drift_table.into(page, "new\n")


@pytest.mark.parametrize(("scale", "written"), [("0.09", False), ("0.1", True)])
def test_a_quick_look_is_not_written(
    scale: str, written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("windows", "rates"):
        monkeypatch.setattr(drift_table, part, lambda bars, scale, seed, part=part: iter([part]))
    page = tmp_path / "page.md"
    page.write_text(f"{drift_table.BEGIN}\nold\n{drift_table.END}\n")
    assert drift_table.main(["--scale", scale, "--into", str(page)]) == 0
    assert ("windows\n\nrates" in page.read_text()) is written
