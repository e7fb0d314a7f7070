from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.client.record import Record
from loadtests.statistics.columns import columns
from loadtests.statistics.slo import Slo, parse_duration_s, parse_slo
from tests.loadtests.statistics.made import MS, answered, failed


def test_an_slo_is_read_as_it_is_written() -> None:
    assert Slo(ttft_s=0.5, tpot_s=0.05, e2e_s=2.0) == parse_slo("ttft=500ms, tpot=50ms,e2e=2s")
    assert "ttft=500ms,stall=1s" == str(parse_slo("stall=1s,ttft=500ms"))
    assert {"250us": 0.00025, "1.5s": 1.5, "2m": 120.0} == {
        text: parse_duration_s(text) for text in ("250us", "1.5s", "2m")
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttft", "write name=duration"),
        ("itl=5ms", "one of ttft, ttfo, tpot, e2e, stall"),
        ("ttft=500", "write a number and a unit"),
        ("ttft=1s,ttft=2s", "names ttft twice"),
        ("tpot=0ms", "must be above zero"),
        ("", "is empty"),
    ],
)
def test_a_wrong_slo_is_refused_with_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_slo(text)


def test_the_limit_counts_from_the_intended_send() -> None:
    slo = Slo(ttft_s=0.010)
    assert slo.met_by(answered(0, ttft_ms=10))
    assert not slo.met_by(answered(0, ttft_ms=10, lag_ms=1))


def test_unknown_tokens_miss_a_tpot_limit_and_a_single_token_has_none() -> None:
    slo = Slo(tpot_s=0.001)
    assert [True, False, True] == [slo.met_by(answered(0, tokens=tokens)) for tokens in (11, None, 1)]


def test_what_failed_is_never_good() -> None:
    assert [False] * 3 == [Slo().met_by(failed(0, kind)) for kind in ("http_429", "dropped", "timeout")]


def test_limits_on_tokens_do_not_judge_what_is_not_streamed() -> None:
    plain = Record(index=0, ti=0, ts=0, te=50 * MS, stream=False, status=200)
    assert Slo(ttft_s=0.001, tpot_s=0.001, stall_s=0.001).met_by(plain)
    assert not Slo(e2e_s=0.049).met_by(plain)


times = st.integers(0, 40).map(lambda ms: ms * MS)
records = st.builds(
    Record,
    index=st.just(0),
    ti=st.just(5 * MS),
    ts=times,
    c1=times,
    ck=times,
    te=times,
    first_content=times,
    chunks=st.integers(0, 3),
    max_gap_ns=times,
    tokens=st.none() | st.integers(0, 5),
    stream=st.booleans(),
    error=st.sampled_from(["", "", "", "timeout"]),
)
limit = st.none() | st.integers(1, 30).map(lambda ms: ms / 1000)


@settings(deadline=None)
@given(st.lists(records, min_size=1, max_size=5), st.builds(Slo, limit, limit, limit, limit, limit))
def test_one_record_and_a_whole_run_are_judged_alike(some: list[Record], slo: Slo) -> None:
    assert slo.good(columns(some)).tolist() == [slo.met_by(record) for record in some]
