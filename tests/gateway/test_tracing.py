"""A request's place in its trace: whose child it is, what its engines are told, and whether spans of it are sent."""

from __future__ import annotations

import json
import random
import re

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import ConnectFailed
from gateway.body.parameters import LARGEST_BYTES, parameters_of
from gateway.telemetry.sampling import Sampling, sampling_of
from gateway.tracing import Tracing, trace_id_of
from tests.gateway.flights import Bench, StepClock

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01".encode()
UNSAMPLED = SAMPLED[:-2] + b"00"
UNUSABLE = [
    *(b"", b"garbage", SAMPLED[:-1], SAMPLED.upper(), b"ff" + SAMPLED[2:], SAMPLED + b"x", SAMPLED + b"\n"),
    *(SAMPLED.replace(TRACE_ID.encode(), b"0" * 32), SAMPLED.replace(PARENT_ID.encode(), b"0" * 16)),
]


def tracing(sampling: Sampling | None = None) -> Tracing:
    return Tracing(sampling or Sampling(), random.Random(7))


def test_the_clients_span_is_the_parent() -> None:
    trace = tracing().begin({b"traceparent": SAMPLED})
    assert (trace.trace_id.decode(), trace.parent_id.decode(), trace.sampled) == (TRACE_ID, PARENT_ID, True)
    assert trace.span_id not in (PARENT_ID.encode(), b"0" * 16)


def test_a_newer_version_may_say_more() -> None:
    assert trace_id_of(b"cc" + SAMPLED[2:] + b"-what-comes") == TRACE_ID


@pytest.mark.parametrize("told", UNUSABLE)
def test_what_is_no_trace_begins_one(told: bytes) -> None:
    assert trace_id_of(told) == ""
    trace = tracing().begin({b"traceparent": told})
    assert re.fullmatch(rb"[0-9a-f]{32}", trace.trace_id)
    assert (trace.parent_id, trace.sampled) == (b"", True)


def test_no_header_names_no_trace() -> None:
    assert trace_id_of(None) == ""


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_any_header_is_a_trace_or_none(told: bytes) -> None:
    assert re.fullmatch(r"([0-9a-f]{32})?", trace_id_of(told))
    tracing().begin({b"traceparent": told})


# -- what goes up ----------------------------------------------------------------------------------------------------


def told_up(headers: bytes) -> dict[bytes, bytes]:
    lines = headers.split(b"\r\n")[:-1]
    pairs = dict(line.split(b": ", 1) for line in lines)
    assert len(pairs) == len(lines)
    return pairs


def test_each_attempt_is_a_span_of_its_own_that_its_engine_is_told() -> None:
    bench = Bench(StepClock(), 2)
    trace = tracing().begin({b"traceparent": SAMPLED})
    bench.begin(
        stream=False, fields={b"traceparent": SAMPLED, b"tracestate": b"a=b", b"x-session-id": b"s"}, trace=trace
    )
    bench.calls[0].failed(ConnectFailed("refused"))
    bench.calls[1].answer(200, json.dumps({"choices": [], "usage": {"prompt_tokens": 3}}).encode())
    first, second = (told_up(call.headers) for call in bench.calls)
    (record,) = bench.ledger.records
    assert record.tries is not None
    assert [one.span_id for one in record.tries] == [
        up[b"traceparent"].decode().split("-")[2] for up in (first, second)
    ]
    assert len({record.span_id, PARENT_ID, *(one.span_id for one in record.tries)}) == 4
    assert first[b"traceparent"].startswith(b"00-" + TRACE_ID.encode())
    assert (first[b"tracestate"], first[b"x-session-id"]) == (b"a=b", b"s")
    assert (record.trace_id, record.parent_span_id, record.sampled) == (TRACE_ID, PARENT_ID, True)
    assert [one.address for one in record.tries] == ["t0.test:80", "t0.test:80"]


def test_an_engine_is_told_a_trace_where_the_client_told_none() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(fields={b"tracestate": b"of=nothing"}, trace=tracing().begin({}))
    flight.client_gone()
    up = told_up(bench.calls[0].headers)
    (record,) = bench.ledger.records
    assert up[b"traceparent"].decode().split("-")[1::2] == [record.trace_id, "01"]
    assert b"tracestate" not in up


def test_an_engine_is_told_that_a_trace_is_not_sampled() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(trace=tracing().begin({b"traceparent": UNSAMPLED}))
    flight.client_gone()
    assert told_up(bench.calls[0].headers)[b"traceparent"].endswith(b"-00")
    (record,) = bench.ledger.records
    assert (record.trace_id, record.sampled, record.tries) == (TRACE_ID, False, None)


def test_without_an_exporter_the_clients_trace_passes_as_it_came_and_is_recorded() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(fields={b"traceparent": SAMPLED})
    flight.client_gone()
    assert told_up(bench.calls[0].headers)[b"traceparent"] == SAMPLED
    (record,) = bench.ledger.records
    assert (record.trace_id, record.span_id, record.parameters) == (TRACE_ID, "", None)


# -- which traces are sent -------------------------------------------------------------------------------------------

ids = st.integers(1, 2**128 - 1)


@given(ids, st.floats(0, 1))
@settings(deadline=None)
def test_a_ratio_is_opentelemetrys(trace_id: int, ratio: float) -> None:
    from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

    theirs = TraceIdRatioBased(ratio).should_sample(None, trace_id, "x").decision
    assert Sampling(ratio).of_root(trace_id) == (theirs is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, Sampling(0.25)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, Sampling(1.0, parent_based=False)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, Sampling(0.0, parent_based=False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, Sampling(0.0)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, Sampling(0.5, parent_based=False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, Sampling(0.5)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, Sampling(1.0)),
    ],
)
def test_the_environments_sampler_comes_first(env: dict[str, str], expected: Sampling) -> None:
    assert sampling_of(0.25, env) == expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, Sampling(0.25)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"}, Sampling(1.0)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"}, Sampling(1.0)),
    ],
)
def test_a_sampler_that_is_none_is_told(env: dict[str, str], expected: Sampling) -> None:
    with structlog.testing.capture_logs() as lines:
        assert sampling_of(0.25, env) == expected
    assert len(lines) == 1


def test_a_client_is_followed_unless_the_sampler_follows_nobody() -> None:
    assert [Sampling(ratio).of_child(1, sampled) for ratio in (0.0, 1.0) for sampled in (False, True)] == [
        *(False, True),
        *(False, True),
    ]
    assert [Sampling(ratio, parent_based=False).of_child(1, True) for ratio in (0.0, 1.0)] == [False, True]


# -- what was asked for ----------------------------------------------------------------------------------------------


def test_the_parameters_of_a_request_are_its_numbers() -> None:
    body = {
        "model": "m",
        "temperature": 0.5,
        "top_p": 1,
        "max_completion_tokens": 64,
        "seed": "7",
        "n": None,
        "stop": "x",
    }
    assert parameters_of(json.dumps(body).encode()) == {"temperature": 0.5, "top_p": 1, "max_tokens": 64}


@pytest.mark.parametrize("seed", [10**23, -(10**23), 2**63])
def test_an_integer_that_no_record_can_say_is_left_out(seed: int) -> None:
    assert parameters_of(json.dumps({"seed": seed, "n": 2**63 - 1}).encode()) == {"n": 2**63 - 1}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[", b'{"model":"m"}', b'{"temperature":"hot"}', b'{"x":' + b"[" * 100_000]
)
def test_without_any_there_are_none(body: bytes) -> None:
    assert parameters_of(body) is None


def test_a_large_body_is_not_parsed_again() -> None:
    assert parameters_of(b'{"temperature":1,"x":"%b"}' % (b"x" * LARGEST_BYTES)) is None
