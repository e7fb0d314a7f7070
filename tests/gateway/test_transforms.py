"""What a feature of a route changes on the way up and down; a route without features changes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.port import Headers
from gateway.errors import Failure
from routing.facts import RequestFacts
from tests.gateway.flights import NO_RETRY, SSE, Bench, StepClock
from tests.gateway.relayed import DONE, ERROR, FINISH, USAGE, chunk, in_reads

pytestmark = pytest.mark.usefixtures("now")


class Adds:
    """A member that a feature wants to be in every body."""

    def __init__(self, name: str) -> None:
        self.name = name

    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        return json.dumps({**json.loads(body), self.name: facts.operation}).encode()


class Refuses:
    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        raise Failure("invalid_field", "not here", "messages")


class Numbers:
    """Puts a comment with its number before each event of one stream."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, event: bytes) -> bytes:
        self.count += 1
        return b": %d\n\n%b" % (self.count, event)


def test_request_transforms_change_what_goes_up_in_order_and_once() -> None:
    bench = Bench(StepClock(), 2, request_transforms=(Adds("a"), Adds("b")))
    flight, _ = bench.begin(stream=False)
    bench.calls[0].answer(500, b"")
    assert bench.calls[0].body == bench.calls[1].body
    assert list(json.loads(bench.calls[1].body))[-2:] == ["a", "b"]
    flight.client_gone()


def test_a_request_transform_may_refuse() -> None:
    bench = Bench(StepClock(), request_transforms=(Refuses(), Adds("a")))
    _, client = bench.begin()
    assert (client.status, client.error["message"], bench.calls) == (400, "not here", [])
    assert (len(bench.ledger.settled), bench.outstanding()) == (1, {})


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 4), max_size=6), spaced=st.booleans())
def test_event_transforms_see_each_event_that_passes_once_and_whole(sizes: list[int], spaced: bool) -> None:
    bench = Bench(StepClock(), event_transforms=(Numbers,))
    for _ in range(2):  # each stream has its own
        _, client = bench.begin()
        call = bench.calls[-1]
        call.head()
        stream = [chunk("a"), chunk("b") + chunk("c"), chunk("d")[:9], chunk("d")[9:], FINISH, USAGE, DONE]
        for read in in_reads(stream, sizes):
            call.read(*read)
        call.done()
        events = [chunk("a"), chunk("b"), chunk("c"), chunk("d"), FINISH, DONE]
        assert client.body == b"".join(b": %d\n\n%b" % (n, event) for n, event in enumerate(events, 1))
    assert bench.outstanding() == {}


def test_an_event_transform_may_withhold_and_errors_are_told_all_the_same() -> None:
    withholds = (lambda: lambda event: b"" if b'"content"' in event else event,)
    bench = Bench(StepClock(), event_transforms=withholds, retry=NO_RETRY)
    _, client = bench.begin()
    headers: Headers = SSE
    bench.calls[0].head(200, headers)
    bench.calls[0].read(chunk("secret"), b": ping\n\n")
    bench.calls[0].done(ERROR, DONE)
    assert client.body == b": ping\n\n" + ERROR
