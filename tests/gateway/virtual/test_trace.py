"""The trace format, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.virtual.trace import (
    Arrival,
    TraceError,
    at_rate,
    chain_of,
    mean_rate_per_s,
    read_trace,
)
from tests.gateway.virtual.traces import write_trace

ARRIVALS = [
    Arrival(arrival_ms=0, input_tokens=200, output_tokens=5, prefix_ids=(1, 2), session="a", tenant="t", priority=2),
    Arrival(arrival_ms=12.5, input_tokens=1, output_tokens=1),
    Arrival(arrival_ms=40, input_tokens=64, output_tokens=9, prefix_ids=(3,)),
]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    write_trace(file, ARRIVALS)
    assert ARRIVALS == read_trace(file)


LINE = '{"arrival_ms": 5, "input_tokens": 100, "output_tokens": 3, "prefix_ids": [1]}'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ":1: the file holds no arrival"),
        (LINE + "\n{", ":2: Input data was truncated"),
        ('{"arrival_ms": 5, "output_tokens": 3}', ":1: Object missing required field `input_tokens`"),
        (LINE.replace("100", "0"), ":1: Expected `int` >= 1"),
        (LINE.replace("100", "60"), ":1: 1 prefix_ids for 60 tokens: at most one per 64"),
        (f"{LINE}\n\n{LINE.replace('5', '4', 1)}", ":3: this arrival is earlier than the one before it"),
    ],
)
def test_a_line_that_is_no_arrival_is_named(text: str, error: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text(text)
    with pytest.raises(TraceError) as caught:
        read_trace(file)
    assert str(caught.value).startswith(f"{file}{error}")


def test_another_rate_stretches_the_times_and_nothing_else() -> None:
    stretched = at_rate(ARRIVALS, 5.0)
    assert [0, 125.0, 400.0] == [one.arrival_ms for one in stretched]
    assert mean_rate_per_s(stretched) == 5.0
    assert [one.prefix_ids for one in ARRIVALS] == [one.prefix_ids for one in stretched]


IDS = st.lists(st.integers(0, 3), max_size=12)


@settings(deadline=None)
@given(IDS, IDS)
def test_hashes_and_keys_are_equal_as_far_as_the_ids_are_and_are_not_each_other(a: list[int], b: list[int]) -> None:
    common = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    one, other = chain_of(a), chain_of(b)
    assert (len(one), len(one.keys)) == (len(a), len(a))
    assert [i < common for i in range(min(len(a), len(b)))] == [x == y for x, y in zip(one, other, strict=False)]
    assert one.keys[:common] == other.keys[:common]
    assert not set(one.keys[common:]) & set(other.keys[common:])
    assert not set(one) & set(one.keys)
