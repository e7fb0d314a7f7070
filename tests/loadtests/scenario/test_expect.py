from __future__ import annotations

import pytest

from loadtests.scenario.expect import Expectation, Mark, When, judge, read_expectation
from loadtests.scenario.facts import of_memory, of_metrics, of_window
from loadtests.statistics.columns import columns
from loadtests.statistics.slo import Slo
from loadtests.statistics.window import Window, fixed_window
from tests.loadtests.statistics.made import STARTED_NS, S, answered, failed

MIB = 2**20


def test_an_expectation_is_read_with_its_window() -> None:
    text = "errors.http_429 >= 2.5 from 500ms to 12s"
    window = When(0.5), When(12.0)
    assert Expectation(text, "errors.http_429", ">=", 2.5, *window) == read_expectation(f"  {text} ")
    assert Expectation("failed==0", "failed", "==", 0.0) == read_expectation("failed==0")


MARKS = {"killed": Mark(4.0, 6.5), "back": Mark(9.0, 12.0)}


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ("", (0.0, 30.0)),
        (" from 2s", (2.0, 30.0)),
        (" from killed", (6.5, 30.0)),
        (" from killed+500ms to back", (7.0, 9.0)),
        (" from 1s to killed", (1.0, 4.0)),
        (" from back to 20s", (12.0, 20.0)),
        (" from gone", None),
        (" from 0s to gone+1s", None),
    ],
)
def test_a_window_is_between_the_end_of_an_event_and_the_beginning_of_another(
    window: str, found: tuple[float, float] | None
) -> None:
    assert read_expectation("failed == 0" + window).window_s(MARKS, 30.0) == found


@pytest.mark.parametrize(
    "line",
    [
        "failed",
        "failed = 0",
        "failed == none",
        "failed == 0 from",
        "== 0",
        "failed == 0 to 3s",
    ],
)
def test_what_is_no_expectation_is_refused_with_an_example(line: str) -> None:
    with pytest.raises(ValueError, match="write `attainment"):
        read_expectation(line)


@pytest.mark.parametrize(
    ("line", "found", "met"),
    [
        ("failed == 0", 0.0, True),
        ("failed == 0", 1.0, False),
        ("ttft_p99_ms < 5", 5.0, False),
        ("ttft_p99_ms <= 5", 5.0, True),
        ("ttft_p99_ms < 5", None, False),
        ("attainment > 0.5", None, False),
        ("failed != 1", 2.0, True),
    ],
)
def test_a_fact_meets_it_or_not_and_a_figure_of_nothing_never_does(line: str, found: float | None, met: bool) -> None:
    expectation = read_expectation(line)
    assert met is judge(expectation, {expectation.fact: found}).met


def test_a_count_that_did_not_occur_is_none_of_them_and_a_mistyped_fact_is_an_error() -> None:
    assert judge(read_expectation("errors.timeout == 0"), {}).met
    with pytest.raises(ValueError, match="there is no fact attainmentt; there are failed"):
        judge(read_expectation("attainmentt > 0"), {"failed": 0.0})


def test_facts_are_of_what_was_scheduled_in_the_window() -> None:
    records = [
        answered(0, at_ms=100, ttft_ms=10, engine="a", replica="r1"),
        answered(1, at_ms=700, ttft_ms=30, engine="b", replica="r2"),
        failed(2, "http_429", at_ms=800, status=429, te=STARTED_NS + S, retry_after_s=1.0),
        failed(3, "http_503", at_ms=900, status=503, te=STARTED_NS + S),
    ]
    later = Window(STARTED_NS + S // 2, STARTED_NS + S, None, "")
    facts = of_window(columns(records), records, later, Slo(ttft_s=1.0))
    assert (3, 1, 2, 1) == (facts["scheduled"], facts["answered"], facts["failed"], facts["retry_after_missing"])
    assert (1, 1, None, 1) == (facts["errors.http_429"], facts["engine.b"], facts.get("engine.a"), facts["replica.r2"])
    assert 30.0 == facts["ttft_p99_ms"]
    assert pytest.approx(200.0) == facts["refusal_ms"]
    nothing = of_window(columns(records), records, fixed_window(STARTED_NS + 5 * S, 1.0), Slo())
    assert (None, None, 0) == (nothing["attainment"], nothing["ttft_p50_ms"], nothing["failed"])


def test_metrics_are_summed_and_found_by_the_value_of_a_label() -> None:
    text = '# TYPE a counter\na_total{x="p",y="q"} 2\na_total{x="r",y="q"} 3.5\nplain 7\n'
    facts = of_metrics(text)
    assert (5.5, 2.0, 5.5, 7.0) == (
        facts["metrics.a_total"],
        facts["metrics.a_total:p"],
        facts["metrics.a_total:q"],
        facts["metrics.plain"],
    )


def test_memory_growth_leaves_the_warm_up_out_of_its_slope() -> None:
    warm = [(float(t), 100 * MIB + t * 10 * MIB) for t in range(3)]
    level = [(float(t), 130 * MIB) for t in range(3, 16)]
    facts = of_memory(warm + level, 15.0)
    assert (30.0, 130.0) == (facts["gateway_rss_growth_mib"], facts["gateway_rss_mib"])
    assert pytest.approx(0.0, abs=1e-6) == facts["gateway_rss_kib_per_min"]
    growing = of_memory([(float(t), 100 * MIB + t * MIB) for t in range(16)], 15.0)
    assert pytest.approx(60 * 1024) == growing["gateway_rss_kib_per_min"]
    assert of_memory([], 15.0)["gateway_rss_growth_mib"] is None
