"""What an attempt sends that was chosen before it was written is written in turns, while it has its place."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from engines.errors import ConnectionLost
from engines.model import Operation
from engines.operations import OPERATION_KEYS
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.codec import Egress
from engines.wire.cohere import codec as cohere
from engines.wire.gemini import codec as gemini
from engines.wire.request import ChatRequest
from gateway.flight import Flight
from gateway.shadow.flight import ShadowedFlight
from routing.choosing.capabilities import Abilities, Takes
from routing.failing.hedging import HedgingSettings
from routing.model import Endpoint
from routing.waiting.admission import AdmissionSettings
from tests.gateway.flights import JSON, Bench, FakeConnection, StepClock
from tests.gateway.relayed import DONE, FINISH, chunk
from tests.gateway.shadow.test_shadow import Pair
from tests.gateway.test_preparing import MANY, PATH, SPOKEN, InTurns, expected_body, turned

NOBODYS = {"role": "tool", "tool_call_id": "nobody's", "content": "x"}
"""What Gemini's format has no words for."""
AFTER = HedgingSettings(after_ms=500.0)
ONE = AdmissionSettings(in_flight=1)


def sharing(clock: StepClock, *formats: Egress, **more: Any) -> Bench:
    """A tier of one replica for each of these formats. Only what the last is sent is written beforehand, and the first
    is asked first."""
    abilities = {("t0", "up"): Abilities(translated=SPOKEN, takes=gemini.EGRESS.takes)}
    bench = Bench(clock, len(formats), filters=(Takes(abilities, drops=True),), **more)
    for endpoint, egress in zip(endpoints(bench), formats, strict=True):
        speaks(bench, endpoint, egress)
    return bench


def endpoints(bench: Bench) -> tuple[Endpoint, ...]:
    (pool,) = bench.route.speakers[OPERATION_KEYS[Operation.CHAT]].pools
    return pool


def speaks(bench: Bench, endpoint: Endpoint, egress: Egress) -> None:
    upstream = bench.serving.upstreams[endpoint]
    upstream.translated, upstream.takes = {PATH: egress}, egress.takes


def in_flight(bench: Bench) -> list[int]:
    """Requests at each replica."""
    return [state.in_flight_requests for state in bench.table]


# -- a format that was not written for ---------------------------------------------------------------------------------


def third(clock: StepClock) -> tuple[Bench, Flight, FakeConnection]:
    bench = sharing(clock, InTurns(), cohere.EGRESS, anthropic_messages.EGRESS)
    return bench, *bench.begin(messages=MANY)


def test_a_third_format_of_one_tier_is_written_in_turns_while_its_place_is_taken(now: StepClock) -> None:
    bench, flight, _ = third(now)
    with_its_place = 0
    while not bench.calls:
        with_its_place += in_flight(bench) == [1, 0, 0]
        assert bench.loop.turn()
    (call,) = bench.calls
    assert (call.replica, call.body) == ("0", expected_body(gemini.EGRESS))
    assert with_its_place > 5
    call.head()
    call.done(chunk(), FINISH, DONE)
    (record,) = bench.ledger.records
    assert (record.attempts, flight.placing, bench.outstanding()) == (1, None, {})


def test_a_client_that_leaves_in_any_of_these_turns_leaves_nothing_and_no_attempt(now: StepClock) -> None:
    bench, _, _ = third(now)
    turns = turned(bench)
    with_its_place = 0
    for leaves_after in range(turns):
        bench, flight, _ = third(now)
        turned(bench, leaves_after)
        with_its_place += in_flight(bench) == [1, 0, 0]
        flight.client_gone()
        assert turned(bench) <= 1
        (record,) = bench.ledger.records
        assert (record.status, record.attempts, bench.calls, bench.outstanding()) == (499, 0, [], {})
    assert with_its_place > 5


def test_the_time_to_the_first_byte_is_its_engine_s_alone(now: StepClock) -> None:
    bench, _, _ = third(now)
    while not bench.calls:
        now.now_s += 1.0
        bench.loop.turn()
    (call,) = bench.calls
    now.now_s += 0.25
    call.head()
    call.done(chunk(), FINISH, DONE)
    state = endpoints(bench)[0].state
    assert state.prefill.ttft_ms(0.0) <= 250.0


def test_what_the_chosen_one_cannot_be_told_is_told_once_and_leaves_nothing(now: StepClock) -> None:
    bench = sharing(now, InTurns(), cohere.EGRESS)
    _, client = bench.begin(messages=[*MANY, NOBODYS])
    turned(bench)
    assert (client.status, "nobody's" in client.error["message"]) == (400, True)
    (record,) = bench.ledger.records
    assert (record.attempts, bench.calls, bench.outstanding()) == (0, [], {})


class Mistaken(InTurns):
    """A format with a mistake of ours."""

    def encode_in_turns(self, request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, bytes]:
        yield 1
        raise KeyError("odd")


def test_a_mistake_in_its_format_ends_the_request_and_leaves_nothing(now: StepClock) -> None:
    bench = sharing(now, Mistaken(), cohere.EGRESS)
    _, client = bench.begin(messages=MANY)
    turned(bench)
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert (len(bench.ledger.settled), bench.calls, bench.outstanding()) == (1, [], {})


def test_a_request_that_nobody_had_to_read_is_read_in_turns_too(now: StepClock) -> None:
    bench = Bench(now)
    (endpoint,) = endpoints(bench)
    speaks(bench, endpoint, InTurns())
    flight, _ = bench.begin(messages=MANY)
    assert (bench.calls, in_flight(bench)) == ([], [1])
    assert turned(bench) > 12
    (call,) = bench.calls
    assert call.body == expected_body(gemini.EGRESS)
    flight.client_gone()
    assert bench.outstanding() == {}


# -- out of the waiting line -------------------------------------------------------------------------------------------


def waiting(clock: StepClock) -> tuple[Bench, list[Flight]]:
    """Three requests for a replica that takes one at a time; the format of the first of which is no more its own."""
    bench = sharing(clock, gemini.EGRESS, admission=ONE)
    flights = [bench.begin(messages=MANY)[0] for _ in range(3)]
    turned(bench)
    assert (len(bench.calls), in_flight(bench)) == (1, [1])
    (endpoint,) = endpoints(bench)
    speaks(bench, endpoint, InTurns())
    return bench, flights


def test_what_comes_out_of_the_line_for_another_format_is_written_in_turns_and_no_other_takes_its_place(
    now: StepClock,
) -> None:
    bench, flights = waiting(now)
    for number, flight in enumerate(flights[:2], 2):
        flight.client_gone()
        assert in_flight(bench) == [1]
        turns = 0
        while len(bench.calls) < number:
            assert bench.loop.turn()
            assert in_flight(bench) == [1]
            turns += 1
        assert turns > 5
        assert bench.calls[-1].body == expected_body(gemini.EGRESS)
    flights[2].client_gone()
    assert (turned(bench), len(bench.calls), bench.outstanding()) == (0, 3, {})


def test_who_leaves_in_these_turns_makes_room_for_the_next(now: StepClock) -> None:
    for leaves_after in range(1, 6):
        bench, flights = waiting(now)
        flights[0].client_gone()
        turned(bench, leaves_after)
        assert len(bench.calls) == 1
        flights[1].client_gone()
        assert in_flight(bench) == [1]  # the third's
        turned(bench)
        assert len(bench.calls) == 2
        flights[2].client_gone()
        assert (len(bench.ledger.settled), bench.outstanding()) == (3, {})


# -- of a hedge --------------------------------------------------------------------------------------------------------


def hedged(clock: StepClock, messages: list[dict[str, Any]] = MANY) -> tuple[Bench, Flight, FakeConnection]:
    """A stream whose first byte is late, at the moment at which it is asked for again in another format."""
    bench = sharing(clock, anthropic_messages.EGRESS, InTurns(), hedging=AFTER)
    speaks(bench, endpoints(bench)[1], anthropic_messages.EGRESS)
    flight, client = bench.begin(messages=messages)
    turned(bench)
    speaks(bench, endpoints(bench)[1], InTurns())
    bench.loop.fire()
    assert len(bench.calls) == 1
    assert in_flight(bench) == [1, 1]
    return bench, flight, client


def test_a_hedge_in_another_format_is_written_in_turns(now: StepClock) -> None:
    bench, flight, _ = hedged(now)
    assert turned(bench) > 5
    _, second = bench.calls
    assert (second.replica, second.body) == ("1", expected_body(gemini.EGRESS))
    flight.client_gone()
    assert (bench.ledger.hedges, bench.ledger.records[0].attempts, bench.outstanding()) == (["neither"], 2, {})


def test_a_hedge_that_was_not_written_when_the_first_answers_was_none(now: StepClock) -> None:
    for after in range(5):
        bench, flight, _ = hedged(now)
        turned(bench, after)
        bench.calls[0].head()
        bench.calls[0].read(b'event: ping\ndata: {"type": "ping"}\n\n')
        assert in_flight(bench) == [1, 0]
        assert turned(bench) <= 3  # the rest is not written
        assert (len(bench.calls), bench.ledger.hedges) == (1, [])
        flight.client_gone()
        (record,) = bench.ledger.records
        assert (record.attempts, bench.outstanding()) == (1, {})


def test_a_client_that_leaves_before_the_hedge_is_written_leaves_nothing(now: StepClock) -> None:
    for after in range(5):
        bench, flight, _ = hedged(now)
        turned(bench, after)
        flight.client_gone()
        assert turned(bench) <= 1
        (record,) = bench.ledger.records
        assert (record.attempts, bench.ledger.hedges, len(bench.calls)) == (1, [], 1)
        assert (bench.loop.waiting, bench.outstanding()) == ([], {})


def test_where_the_first_fails_meanwhile_the_hedge_is_what_is_tried_next(now: StepClock) -> None:
    bench, flight, _ = hedged(now)
    turned(bench, 2)
    bench.calls[0].failed(ConnectionLost("reset"))
    assert (bench.ledger.retries, len(bench.calls)) == ([], 1)
    turned(bench)
    assert [call.replica for call in bench.calls] == ["0", "1"]
    flight.client_gone()
    assert (bench.ledger.records[0].attempts, bench.outstanding()) == (2, {})


def test_a_hedge_that_its_format_has_no_words_for_is_none_and_the_first_may_answer(now: StepClock) -> None:
    bench, flight, client = hedged(now, [*MANY, NOBODYS])
    turned(bench)
    assert (client.state, in_flight(bench), flight.placing, len(flight.attempts)) == ("waiting", [1, 0], None, 1)
    flight.client_gone()
    assert (len(bench.calls), bench.ledger.hedges, bench.outstanding()) == (1, [], {})


def test_a_hedge_that_was_not_written_when_the_first_refuses_is_no_attempt(now: StepClock) -> None:
    bench, flight, client = hedged(now)
    turned(bench, 2)
    bench.calls[0].answer(400, b'{"error": {"message": "no", "type": "invalid_request_error"}}', JSON)
    assert (client.status, client.headers["x-penstock-attempts"]) == (400, "1")
    turned(bench)
    assert (len(bench.calls), bench.ledger.hedges, bench.ledger.records[0].attempts) == (1, [], 1)
    assert (flight.placing, bench.outstanding()) == (None, {})


def test_whatever_is_under_way_is_taken_back_together(now: StepClock) -> None:
    bench = sharing(now, InTurns(), InTurns())
    for endpoint in endpoints(bench):
        speaks(bench, endpoint, cohere.EGRESS)
    flight, _ = bench.begin(messages=MANY)
    turned(bench)
    for endpoint in endpoints(bench):
        speaks(bench, endpoint, InTurns())
        flight.send(endpoint, now.now_s)
    assert in_flight(bench) == [2, 1]
    flight.client_gone()
    assert turned(bench) == 1
    assert (flight.placing, bench.ledger.records[0].attempts, bench.outstanding()) == (None, 1, {})


def test_a_request_is_kept_in_two_formats_at_most(now: StepClock) -> None:
    bench = sharing(now, InTurns(), cohere.EGRESS, anthropic_messages.EGRESS)
    flight, _ = bench.begin(messages=MANY)
    turned(bench)
    for _ in range(2):
        bench.calls[-1].answer(503, b"{}")
        turned(bench)
    assert [call.replica for call in bench.calls] == ["0", "1", "2"]
    prompt = flight._prompt
    assert prompt is not None
    last = sum(len(call.body) for call in bench.calls[1:])
    assert prompt.kept_bytes == len(prompt.body) + last
    flight.client_gone()
    assert bench.outstanding() == {}


# -- of a copy for a shadow --------------------------------------------------------------------------------------------


def copied(clock: StepClock) -> tuple[Pair, ShadowedFlight]:
    """A request, and its copy for a shadow whose replicas are asked in two formats."""
    pair = Pair(clock)
    pair.shade = sharing(clock, InTurns(), cohere.EGRESS, admission=ONE)
    pair.shadow.serving = pair.shade.serving  # type: ignore[misc]
    return pair, pair.begin(messages=MANY)


def turns_of(pair: Pair, most: int = 1000) -> int:
    """Turn until nothing waits of the copy; returns how often."""
    for count in range(most):
        if not pair.soon:
            return count
        pair.turn()
    return most


def test_a_copy_for_a_third_format_is_written_in_turns_too_and_all_that_is_kept_of_it_is_counted(
    now: StepClock,
) -> None:
    pair, flight = copied(now)
    held = pair.shadows.books.held
    assert held.bytes == len(flight.request.body)
    turns_of(pair)
    (call,) = pair.shade.calls
    assert call.body == expected_body(gemini.EGRESS)
    assert held.bytes == len(flight.request.body) + len(call.body) + len(expected_body(cohere.EGRESS))
    call.head()
    call.done(b'{"candidates": []}')
    assert held.bytes == 0
    pair.finish(flight)


def test_a_copy_whose_replica_is_full_once_it_is_written_is_not_sent(now: StepClock) -> None:
    pair, flight = copied(now)
    turns = turns_of(pair)
    pair.finish(flight)
    for full_after in range(1, turns):
        pair, flight = copied(now)
        turns_of(pair, full_after)
        for state in pair.shade.table:
            state.set_remote(0, 0, 1)
        turns_of(pair)
        assert (pair.shade.calls, pair.counted()) == ([], {'dropped_total"load"}': 1.0})
        pair.finish(flight)


def test_a_copy_that_there_is_no_room_for_once_it_is_written_is_not_sent(now: StepClock) -> None:
    pair, flight = copied(now)
    held = pair.shadows.books.held
    others = held._bound_bytes - held.bytes - 1
    assert held.hold(others)
    turns_of(pair)
    assert (pair.shade.calls, pair.counted()) == ([], {'dropped_total"memory"}': 1.0})
    assert held.bytes == others
    held.release(others)
    pair.finish(flight)
