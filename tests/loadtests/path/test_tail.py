"""Two tails are compared by their rounds: medians, an interval that the same rounds always give, and a verdict."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.path import tail
from loadtests.path.table import Round, Row


def _row(name: str, *p99_us: float) -> Row:
    return Row(name, latency={4: _rounds(*p99_us)})


def _rounds(*p99_us: float) -> list[Round]:
    return [Round(1.0, 1, None, 1.0, p99) for p99 in p99_us]


def _by_name(*rows: Row) -> dict[str, Row]:
    return {row.name: row for row in rows}


def test_the_ratio_is_that_of_the_medians() -> None:
    assert tail.ratio([(1, 4), (2, 8), (90, 10)]) == 0.25
    assert tail.ratio([(1, 0)]) == math.inf


def test_rounds_that_agree_leave_no_doubt() -> None:
    assert tail.bootstrap([(3, 2)] * 7, tail.ratio) == (1.5, 1.5)


def test_there_is_no_interval_without_a_round() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        tail.bootstrap([], tail.ratio)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=1, max_size=9))
def test_the_interval_holds_the_ratio_and_is_the_same_each_time(pairs: list[tuple[float, float]]) -> None:
    low, high = tail.bootstrap(pairs, tail.ratio)

    assert (low, high) == tail.bootstrap(pairs, tail.ratio)
    assert min(a for a, _ in pairs) / max(b for _, b in pairs) <= low <= high
    assert high <= max(a for a, _ in pairs) / min(b for _, b in pairs)


def test_each_penstock_with_its_log_on_is_held_against_the_peer() -> None:
    rows = _by_name(
        _row("penstock", 300, 310, 320),
        _row("penstock compiled", 90, 100, 110),
        _row("penstock, no log", 1, 1, 1),
        _row("vllm-router", 200, 200, 200),
        _row("nginx", 10, 10, 10),
    )

    found = tail.against(rows, "vllm-router")

    assert [(one.name, one.rounds, one.of) for one in found] == [("penstock", 3, 1.55), ("penstock compiled", 3, 0.5)]
    assert tail.lines(found, "vllm-router") == [
        "p99 at  4: penstock 310 us, vllm-router 200 us, ratio 1.55 [1.50, 1.60] of 3 rounds: MISSED",
        "p99 at  4: penstock compiled 100 us, vllm-router 200 us, ratio 0.50 [0.45, 0.55] of 3 rounds: met",
    ]
    assert tail.against(_by_name(_row("penstock", 300)), "vllm-router") == []


def test_what_the_access_log_adds_is_a_difference_within_the_run() -> None:
    rows = _by_name(_row("penstock", 300, 340), _row("penstock, no log", 150, 170), _row("penstock compiled", 5))

    found = tail.log_on_against_off(rows)

    assert [(one.name, one.connections, one.of) for one in found] == [("penstock", 4, 160)]
    assert tail.log_lines(found) == [
        "p99 at  4: penstock with the access log 320 us, without 160 us, +160 us [+150, +170] of 2 rounds: MISSED"
    ]


def test_what_the_record_store_adds_is_to_be_nothing_within_the_interval() -> None:
    rows = _by_name(
        Row("penstock", latency={1: _rounds(90, 100, 120), 4: _rounds(300, 340, 320), 16: _rounds(500, 510, 520)}),
        Row(
            "penstock, no store",
            latency={1: _rounds(95, 100, 105), 4: _rounds(150, 170, 160), 16: _rounds(700, 700, 700)},
        ),
        Row("penstock compiled", latency={4: _rounds(5)}),
        Row("penstock compiled, no log", latency={4: _rounds(5)}),
    )

    found = tail.store_on_against_off(rows)

    assert tail.store_lines(found) == [
        "p99 at  1: penstock with the record store 100 us, without 100 us, +0 us [-5, +15] of 3 rounds: met",
        "p99 at  4: penstock with the record store 320 us, without 160 us, +160 us [+150, +170] of 3 rounds: MISSED",
        "p99 at 16: penstock with the record store 510 us, without 700 us, -190 us [-200, -180] of 3 rounds: met",
    ]
    assert [one.name for one in tail.log_on_against_off(rows)] == ["penstock compiled"]
