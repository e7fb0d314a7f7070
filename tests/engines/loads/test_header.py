"""The header in both its formats, as vLLM writes them, and any bytes at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.loads import EngineLoad, read_header


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.booleans())
def test_both_formats_tell_the_same(waiting: int, usage: float, order: bool) -> None:
    told = {"kv_cache_usage_perc": usage, "num_requests_waiting": float(waiting)}
    pairs = list(told.items())[:: 1 if order else -1]
    text = "TEXT " + ", ".join(f"named_metrics.{name}={value}" for name, value in pairs)
    document = "JSON " + json.dumps({"named_metrics": dict(pairs)})
    assert read_header(text.encode()) == read_header(document.encode()) == EngineLoad(None, waiting, usage)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"TEXT",
        b"JSON {",
        b"TEXT cpu_utilization=0.3, mem_utilization=0.8",
        b"TEXT named_metrics.num_requests_waiting=NaN",
        b"TEXT named_metrics.num_requests_waiting=-1",
        b"TEXT named_metrics.num_requests_waiting=1x",
        b"TEXT named_metrics.not_num_requests_waiting=1",
        b"TEXT named_metrics.num_requests_waiting_by_reason=1",
        b"TEXT named_metrics.kv_cache_usage_perc=35.5",
    ],
)
def test_what_is_none_of_it_is_nothing(value: bytes) -> None:
    assert read_header(value) is None


def test_the_old_name_of_the_usage_is_read_too() -> None:
    assert read_header(b"TEXT named_metrics.gpu_cache_usage_perc=0.5") == EngineLoad(kv_usage=0.5)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"num_requests_waiting=", b'"kv_cache_usage_perc": 1']))
def test_no_bytes_raise(junk: bytes, name: bytes) -> None:
    load = read_header(b"TEXT " + junk + name + junk)
    assert load is None or load.kv_usage is None or 0.0 <= load.kv_usage <= 1.0
