"""The cross-check with other tools: what is read of their reports, and when two figures agree."""

from __future__ import annotations

import pytest

from loadtests.calibration.tools import TOOLS, Measured, Row, agrees, read_guidellm, read_vllm, table


@pytest.mark.parametrize(
    ("ours", "theirs", "floor", "good"),
    [
        (100.0, 103.0, 0.0, True),
        (100.0, 103.1, 0.0, False),
        (100.0, 96.9, 0.0, False),
        (1.0, 1.4, 0.5, True),
        (1.0, 1.6, 0.5, False),
    ],
)
def test_agreement_is_three_percent_or_the_floor(ours: float, theirs: float, floor: float, good: bool) -> None:
    assert good is agrees(ours, theirs, floor)


def test_figures_are_read_from_the_tools_own_reports() -> None:
    metrics = {
        "time_to_first_token_ms": {"successful": {"count": 9, "median": 61.0}, "errored": {"median": 5.0}},
        "inter_token_latency_ms": {"successful": {"count": 9, "median": 10.0}},
    }
    assert Measured(9, 61.0, 10.0) == read_guidellm({"benchmarks": [{"metrics": metrics}]})
    assert Measured(8, 62.0, 9.9) == read_vllm({"completed": 8, "median_ttft_ms": 62.0, "median_tpot_ms": 9.9})


def test_the_table_says_who_disagrees_and_who_could_not_be_asked() -> None:
    rows = [Row("ours", Measured(200, 60.0, 10.0)), Row("a", Measured(200, 61.0, 10.1)), Row("b", None, "no network")]
    text, good = table(rows, 0.2)
    assert (True, "no network") == (good, text.splitlines()[3].split("  ")[-1].strip())
    text, good = table([*rows, Row("c", Measured(200, 60.0, 11.0))], 0.2)
    assert not good
    assert text.splitlines()[4].endswith("+10.00 %  DISAGREES")


def test_ours_comes_first() -> None:
    assert ["penstock-load", "guidellm", "vllm bench serve"] == list(TOOLS)
