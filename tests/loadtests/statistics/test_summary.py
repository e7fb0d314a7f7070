from __future__ import annotations

import pytest

from loadtests.statistics.columns import columns
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.slo import Slo
from loadtests.statistics.summary import Summary, summarise
from loadtests.statistics.window import fixed_window
from tests.loadtests.statistics.made import MS, STARTED_NS, answered, failed


def summary_of(*records: object, slo: Slo | None = None, warmup_s: float = 0.0) -> Summary:
    return summarise(columns(list(records)), fixed_window(STARTED_NS, 1.0, warmup_s), slo)  # type: ignore[arg-type] # records


def test_latency_is_of_the_answered_and_attainment_of_all_that_was_scheduled() -> None:
    summary = summary_of(answered(0), answered(1), failed(2), failed(3, "dropped"), slo=Slo(ttft_s=0.5))
    assert summary.ttft_response is not None
    assert (4, 2, 2, 1) == (summary.scheduled, summary.answered, summary.failed, summary.dropped)
    assert (2, 0.5, 2.0) == (summary.ttft_response.count, summary.attainment.ratio, summary.goodput_per_s)
    assert {"dropped": 1, "http_500": 1} == summary.errors


def test_response_times_count_from_the_schedule_and_service_times_from_the_send() -> None:
    summary = summary_of(answered(0, lag_ms=200, ttft_ms=10))
    assert summary.ttft_response is not None
    assert summary.ttft_service is not None
    assert (0.21, 0.01) == (summary.ttft_response.at(0.5), summary.ttft_service.at(0.5))


def test_tpot_is_over_the_servers_tokens_not_over_chunks() -> None:
    summary = summary_of(answered(0, tokens=11, chunks=3))
    assert summary.tpot is not None
    assert 0.001 == summary.tpot.at(0.5)


def test_unknown_and_undefined_tpot_are_counted_and_never_zero() -> None:
    summary = summary_of(answered(0, tokens=None), answered(1, tokens=1), answered(2, tokens=11))
    assert summary.tpot is not None
    assert (1, 1, 1) == (summary.tokens.unknown, summary.tpot_undefined, summary.tpot.count)
    assert 12 == summary.tokens.completion


def test_only_what_was_scheduled_in_the_window_counts() -> None:
    summary = summary_of(answered(0, at_ms=10), answered(1, at_ms=500), failed(2, at_ms=999), warmup_s=0.5)
    assert (2, 1) == (summary.scheduled, summary.failed)


def test_throughput_counts_what_finished_inside_the_window() -> None:
    summary = summary_of(answered(0, at_ms=0), answered(1, at_ms=995))  # the second ends after the window
    assert (1.0, 11.0) == (summary.throughput.requests_per_s, summary.throughput.tokens_per_s)
    assert pytest.approx(1.016) == summary.throughput.makespan_s


def test_answers_shorter_than_asked_are_shown() -> None:
    summary = summary_of(answered(0, asked_tokens=11), answered(1, tokens=5, asked_tokens=20), answered(2))
    length = summary.output_length
    assert (2, 1, 16 / 31) == (length.asked, length.short, length.produced_ratio)


def test_splits_name_the_busiest_first_and_exist_only_when_a_header_did() -> None:
    some = [answered(n, replica="b" if n else "a") for n in range(3)]
    splits = summary_of(*some).splits
    assert [("b", 2), ("a", 1)] == [(split.name, split.scheduled) for split in splits["replica"]]
    assert ["replica"] == list(splits)


def test_chunk_gaps_are_pooled_over_all_workers() -> None:
    parts = []
    for values in ([MS, 2 * MS], [3 * MS]):
        parts.append(LogHistogram())
        parts[-1].extend(values)
    parts[0].merge(parts[1])
    summary = summarise(columns([answered(0)]), fixed_window(STARTED_NS, 1.0), None, parts[0])
    assert summary.chunk_gap is not None
    assert 3 == summary.chunk_gap.count
    assert pytest.approx(0.002, rel=0.01) == summary.chunk_gap.at(0.5)


def test_a_run_of_nothing_is_a_summary_of_nothing() -> None:
    summary = summary_of()
    assert (0, None, None) == (summary.scheduled, summary.ttft_response, summary.attainment.ratio)
