"""What is read of a large request is read in turns of the loop, and it begins with the last of them."""

from __future__ import annotations

from typing import Any

import pytest

from engines.operations import OPERATION_KEYS
from gateway.errors import Failure
from gateway.preparing import AT_ONCE_BYTES, AT_ONCE_ELEMENTS
from gateway.translating import Understood
from routing.choosing.capabilities import Abilities, Takes
from routing.facts import RequestFacts
from tests.gateway.flights import Bench, StepClock
from tests.gateway.shadow.test_shadow import Pair

pytestmark = pytest.mark.usefixtures("now")

SPOKEN = frozenset(OPERATION_KEYS.values())
MANY: list[dict[str, Any]] = [{"role": "user", "content": "hello, how are you?"}] * 1000


def reading() -> tuple[Takes]:
    """A filter that wants to know what a request asks for."""
    abilities = {("other", "up"): Abilities(translated=SPOKEN)}
    return (Takes(abilities, drops=False),)


def test_a_small_request_begins_at_once() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY[:1])
    assert (len(bench.calls), bench.loop.soon) == (1, [])
    flight.client_gone()


def test_a_large_request_is_read_in_turns_and_then_begins_once() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY)
    turns = 0
    while not bench.calls:
        assert bench.loop.turn()
        turns += 1
    # A message and its part are two, decoding is apart, and so are the turns in which it may be changed and begins.
    assert turns == 2 * len(MANY) // AT_ONCE_ELEMENTS + 5
    assert not bench.loop.turn()
    assert len(bench.calls) == 1
    flight.client_gone()
    assert bench.outstanding() == {}


def test_nobody_reads_a_large_request_where_no_target_is_asked_in_another_format() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(messages=MANY)
    assert (len(bench.calls), bench.loop.soon) == (1, [])
    flight.client_gone()


def test_what_is_more_than_is_translated_goes_to_whoever_is_asked_as_it_came() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY * 20)
    while bench.loop.turn():
        pass
    assert len(bench.calls) == 1
    flight.client_gone()


def test_a_client_that_leaves_meanwhile_is_read_no_further() -> None:
    bench = Bench(StepClock(), filters=reading())
    flight, _ = bench.begin(messages=MANY)
    flight.client_gone()
    assert bench.loop.turn()
    assert not bench.loop.turn()
    assert (bench.calls, flight.answer_status, len(bench.ledger.settled)) == ([], 499, 1)


def test_a_mistake_in_a_later_turn_is_told_and_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(StepClock(), filters=reading())
    _, client = bench.begin(messages=MANY)

    def odd(self: Understood, elements: float) -> bool:
        raise KeyError("odd")

    monkeypatch.setattr(Understood, "go_on", odd)
    bench.loop.turn()
    bench.loop.turn()
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert not bench.loop.turn()
    assert len(bench.ledger.settled) == 1


def test_a_large_request_is_copied_when_it_has_been_sent() -> None:
    clock = StepClock()
    pair = Pair(clock, bench=None)
    pair.model = Bench(clock, filters=reading())
    flight = pair.begin(messages=MANY)
    assert (pair.model.calls, pair.shade.calls) == ([], [])
    while pair.model.loop.turn():
        pass
    pair.turn()
    assert (len(pair.model.calls), len(pair.shade.calls)) == (1, 1)
    pair.finish(flight)


def test_the_bytes_that_are_read_at_once_are_few() -> None:
    assert len(b'{"role":"user","content":""},') * 600 > AT_ONCE_BYTES


class Adds:
    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        return body[:-1] + b',"more":1}'


class Refuses:
    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        raise Failure("invalid_field", "not here", "messages")


def test_a_large_request_is_changed_in_a_turn_of_its_own_and_once() -> None:
    bench = Bench(StepClock(), request_transforms=(Adds(),))
    flight, _ = bench.begin(messages=MANY)
    assert bench.loop.turn()
    assert bench.calls == []
    assert bench.loop.turn()
    assert not bench.loop.turn()
    (call,) = bench.calls
    assert call.body.count(b'"more":1') == 1
    flight.client_gone()


def test_a_large_request_may_be_refused_then() -> None:
    bench = Bench(StepClock(), request_transforms=(Refuses(),))
    _, client = bench.begin(messages=MANY)
    bench.loop.turn()
    assert not bench.loop.turn()
    assert (client.status, client.error["message"], bench.calls) == (400, "not here", [])
    assert (len(bench.ledger.settled), bench.outstanding()) == (1, {})
