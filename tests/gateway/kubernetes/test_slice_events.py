"""Reading what is new in an event gives what reading all of it gives."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kubernetes.slice_events import SliceEvents
from gateway.kubernetes.slices import Slice
from gateway.kubernetes.watch import Event
from tests.gateway.kubernetes.api_server import ApiServer, endpoint

whole = msgspec.json.Decoder(Event[Slice]).decode
COMPACT, SPACED = (",", ":"), (", ", ": ")


def line(
    *endpoints: Any, name: str = "s", version: str = "1", type: str = "MODIFIED", separators: tuple[str, str] = COMPACT
) -> bytes:
    made = ApiServer.slice_of(name, list(endpoints), 8000, "eng")
    made["metadata"]["resourceVersion"] = version
    return json.dumps({"type": type, "object": made}, separators=separators).encode() + b"\n"


def said(read: Any, text: bytes) -> Any:
    """All that an event says; None where it cannot be read."""
    try:
        event = read(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    it = event.object
    endpoints = None if it.endpoints is None else [bytes(one) for one in it.endpoints]
    return event.type, msgspec.to_builtins(it.metadata), it.address_type, endpoints, it.ports


def pods(count: int, unready: int | None = None) -> list[Any]:
    return [endpoint(f"pod-{at}", f"10.0.0.{at + 1}", ready=at != unready) for at in range(count)]


@pytest.mark.parametrize("separators", [COMPACT, SPACED])
def test_only_the_endpoints_that_differ_are_read(separators: tuple[str, str]) -> None:
    events = SliceEvents()
    first = events.read(line(*pods(5), separators=separators)).object.endpoints
    now = line(*pods(5, unready=2), version="1000", separators=separators)
    event = events._by_difference(now)
    assert event is not None
    assert said(lambda _: event, now) == said(whole, now)
    known = events._known["s"].endpoints
    assert first is not None
    assert [bytes(one) == bytes(was) for one, was in zip(known, first, strict=True)] == [True, True, False, True, True]
    after = events._by_difference(now)
    assert after is not None
    assert after.object.endpoints is not None
    assert [one is was for one, was in zip(after.object.endpoints, known, strict=True)].count(False) <= 1


def test_endpoints_that_come_and_go_are_read_without_the_others() -> None:
    events = SliceEvents()
    events.read(line(*pods(3)))
    for now in (pods(5), pods(4), pods(5)[1:], pods(1), pods(6), [*pods(2), *pods(2)]):
        text = line(*now)
        assert said(events._by_difference, text) == said(whole, text)


def test_a_slice_without_endpoints_and_one_that_is_deleted_begin_anew() -> None:
    events = SliceEvents()
    for text in (line(), line(*pods(2)), line(), line(*pods(3)), line(*pods(3), type="DELETED")):
        assert said(events.read, text) == said(whole, text)
    assert events._known == {}


def test_each_slice_is_compared_with_itself() -> None:
    events = SliceEvents()
    for name, count in (("s", 3), ("t", 5), ("s", 4), ("t", 4)):
        text = line(*pods(count), name=name)
        assert said(events.read, text) == said(whole, text)
    assert {name: len(one.endpoints) for name, one in events._known.items()} == {"s": 4, "t": 4}


def test_the_texts_of_many_slices_are_forgotten_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.kubernetes.slice_events.MOST_SLICES", 2)
    events = SliceEvents()
    for name in "abc":
        events.read(line(*pods(2), name=name))
    assert events._known.keys() == {"c"}


HOSTILE = (
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[{"addresses":["\\"endpoints\\":["]}],"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[1],"endpoints":[2],"ports":[]}}',
    b'{"type":"MODIFIED","object":{"x":{"endpoints":[3]},"metadata":{"name":"s"},"endpoints":[4],"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[5],"x":{"endpoints":[3]},"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":null,"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[1 ,2,3],"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[1,2, 3],"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[1,,3],"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[1,3],"ports":[]}} ',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[1,3,],"ports":[]}}',
    b'{"type":"MODIFIED","object":{"metadata":{"name":"s"},"endpoints":[1,[[2]],"],[",3],"ports":[]}}',
    b'{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure","code":410}}',
    b"",
)
NAMES = st.sampled_from(["s", "t"])
VALUES = st.lists(
    st.sampled_from(['{"addresses":["10.0.0.1"]}', '{"addresses":[]}', "1", '"],["', "[1,2]", '"a,b"', "{"])
)
SEPARATORS = st.sampled_from([",", ", ", " ,", ",,", " "])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """An event of any shape, mostly one that the one before it is like."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(HOSTILE))
    values = draw(SEPARATORS).join(draw(VALUES))
    made = '{"type":"%s","object":{"metadata":{"name":"%s","resourceVersion":"%d"},"endpoints":[%s],"ports":[]}}'
    type = draw(st.sampled_from(["MODIFIED", "MODIFIED", "ADDED", "DELETED"]))
    text = (made % (type, draw(NAMES), draw(st.integers(1, 1000)), values)).encode()
    if draw(st.integers(0, 3)) == 0 and text:  # one byte is another, or is missing
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.sampled_from([b"", b",", b"[", b"]", b'"', b"{", b"x"])) + text[at + 1 :]
    return text


@settings(deadline=None, max_examples=400)
@given(st.lists(texts(), max_size=12))
def test_whatever_came_before_an_event_says_what_all_of_it_says(history: list[bytes]) -> None:
    events = SliceEvents()
    for text in history:
        assert said(events.read, text) == said(whole, text)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 11), st.integers(1, 99999)), max_size=8))
def test_slices_of_a_real_shape_are_read_alike(history: list[tuple[int, int | None, int]]) -> None:
    events = SliceEvents()
    for count, unready, version in history:
        text = line(*pods(count, unready), version=str(version), separators=SPACED)
        assert said(events.read, text) == said(whole, text)
