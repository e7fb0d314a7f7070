"""What KEDA sends is read, and what it is sent is written, as protobuf would."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.scaler import wire
from tests.gateway.scaler.messages import MESSAGES, ref

TEXT = st.text(max_size=40)


@given(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=5))
@settings(deadline=None, max_examples=50)
def test_whoever_asks_is_read_as_protobuf_wrote_it(name: str, namespace: str, metadata: dict[str, str]) -> None:
    entries = [MESSAGES["Entry"](key=key, value=value) for key, value in metadata.items()]
    written = MESSAGES["ScaledObjectRef"](name=name, namespace=namespace, scalerMetadata=entries)
    expected = wire.ScaledObjectRef(name, namespace, metadata)
    assert wire.read_ref(written.SerializeToString()) == expected
    request = MESSAGES["GetMetricsRequest"](scaledObjectRef=written, metricName=name)
    assert wire.read_metrics_request(request.SerializeToString()) == (expected, name)


@given(TEXT, st.integers(0, 2**40))
@settings(deadline=None, max_examples=50)
def test_numbers_are_written_as_protobuf_reads_them(name: str, value: int) -> None:
    spec = MESSAGES["GetMetricSpecResponse"].FromString(wire.metric(name, value))
    assert [(one.metricName, one.targetSize, one.targetSizeFloat) for one in spec.metricSpecs] == [(name, value, value)]
    told = MESSAGES["GetMetricsResponse"].FromString(wire.metric(name, value))
    assert [(one.metricName, one.metricValue, one.metricValueFloat) for one in told.metricValues] == [
        (name, value, value)
    ]


@pytest.mark.parametrize("active", [True, False])
def test_activity_is_written_as_protobuf_reads_it(active: bool) -> None:
    assert MESSAGES["IsActiveResponse"].FromString(wire.is_active(active)).result is active


def test_fields_of_a_newer_interface_are_passed_over() -> None:
    newer = (
        ref(engine="llama").SerializeToString() + b"\x20\x07" + b"\x29" + 8 * b"x" + b"\x35" + 4 * b"x" + b"\x3a\x01y"
    )
    assert wire.read_ref(newer).metadata == {"engine": "llama"}


@pytest.mark.parametrize(
    "broken",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff",
        b"\x08\x01",
        b"\x0b",
        b"\x0a\x01\xff",
        b"\x00\x00",
        11 * b"\xff",
        b"\x1a\x02\x0a\x09",
    ],
    ids=[
        "no length",
        "cut",
        "half a length",
        "a number for text",
        "a group",
        "not UTF-8",
        "no number",
        "endless",
        "entry",
    ],
)
def test_what_is_broken_is_an_error(broken: bytes) -> None:
    with pytest.raises(wire.BadMessage):
        wire.read_ref(broken)


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=50)
def test_nothing_else_is_raised_whatever_comes(message: bytes) -> None:
    with contextlib.suppress(wire.BadMessage):
        wire.read_metrics_request(message)
