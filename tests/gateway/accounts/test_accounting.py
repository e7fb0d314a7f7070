"""What a settled flight leaves in its record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.errors import ConnectionLost
from engines.model import Operation
from engines.sse import split
from gateway.accounts.prices import Rates, Row, Table, Tables
from gateway.accounts.record import MOST_SAID
from gateway.flight import Flight
from tests.engines.wire.frames import frame
from tests.gateway.flights import JSON, Bench, StepClock
from tests.gateway.relayed import DONE, FINISH, chunk

DOLLAR_A_TOKEN = Rates(Tables(Table((), (Row(10**12, 0, 0, 10**12, 0, 0),)), {}), "configured")
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "model": "up",
    "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def priced(flight: Flight) -> None:
    assert flight.attempt is not None
    flight.attempt.upstream.rates = DOLLAR_A_TOKEN
    flight.attempt.upstream.price_source = DOLLAR_A_TOKEN.source


def test_tokens_written_to_the_cache_are_recorded(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin(Operation.MESSAGES, stream=False)
    usage = {
        "input_tokens": 4,
        "output_tokens": 2,
        "cache_creation_input_tokens": 9,
        "cache_read_input_tokens": 3,
    }
    body = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage}
    bench.calls[0].answer(200, json.dumps(body).encode())
    (record,) = bench.ledger.records
    assert (record.input_tokens, record.cached_tokens, record.cache_write_tokens) == (16, 3, 9)
    assert record.error == ""


def test_no_usage_writes_nothing_to_the_cache(now: StepClock) -> None:
    bench = Bench(now)
    flight, _ = bench.begin()
    flight.client_gone()
    (record,) = bench.ledger.records
    assert (record.input_tokens, record.cached_tokens, record.cache_write_tokens) == (None, 0, 0)


def test_what_the_engine_says_of_its_answer_is_recorded(now: StepClock) -> None:
    bench = Bench(now)
    flight, _ = bench.begin(stream=False)
    priced(flight)
    said = {"id": "chatcmpl-7", "model": "up-2026-10-01", "system_fingerprint": "fp_7", "service_tier": "flex"}
    bench.calls[0].answer(200, json.dumps(ANSWER | said).encode())
    (record,) = bench.ledger.records
    assert (record.response_id, record.response_model, record.system_fingerprint, record.service_tier) == (
        *("chatcmpl-7", "up-2026-10-01"),
        *("fp_7", "flex"),
    )
    assert (record.price_source, record.tries) == ("configured", None)


def test_a_model_that_answers_by_the_name_it_was_asked_by_is_not_said_twice(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin(stream=False)
    bench.calls[0].answer(200, json.dumps(ANSWER).encode())
    (record,) = bench.ledger.records
    assert (record.upstream_model, record.response_model, record.response_id) == ("up", "", "chatcmpl-1")


def test_the_version_of_the_configuration_that_served_it_is_recorded(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin(stream=False)
    bench.calls[0].answer(200, json.dumps(ANSWER).encode())
    assert bench.ledger.records[0].bundle == "v1"


def test_what_an_engine_calls_itself_is_cut_where_it_is_long(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin(stream=False)
    bench.calls[0].answer(200, json.dumps(ANSWER | {"id": "x" * 9999}).encode())
    assert bench.ledger.records[0].response_id == "x" * MOST_SAID


def test_tokens_that_are_no_text_are_recorded_apart(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin(stream=False)
    usage = {
        "prompt_tokens": 50,
        "prompt_tokens_details": {"audio_tokens": 30, "image_tokens": 4},
        "completion_tokens": 20,
        "completion_tokens_details": {"audio_tokens": 9, "image_tokens": 1},
    }
    bench.calls[0].answer(200, json.dumps(ANSWER | {"usage": usage}).encode())
    (record,) = bench.ledger.records
    assert (record.input_tokens, record.input_audio_tokens, record.input_image_tokens) == (50, 30, 4)
    assert (record.output_tokens, record.output_audio_tokens, record.output_image_tokens) == (20, 9, 1)


def test_a_request_whose_price_nobody_knows_costs_something_unknown_and_is_counted(now: StepClock) -> None:
    bench = Bench(now)
    flight, _ = bench.begin(stream=False)
    assert flight.attempt is not None
    upstream = flight.attempt.upstream
    flight.attempt._lease._meter, upstream.price_source = None, ""
    bench.calls[0].answer(200, json.dumps(ANSWER).encode())
    (record,) = bench.ledger.records
    assert (record.cost_usd, record.price_source, record.input_tokens) == (None, "", 5)
    assert (upstream.series.unpriced, upstream.series.cost_usd) == (1, 0.0)


def test_a_failed_request_that_used_nothing_is_not_unpriced(now: StepClock) -> None:
    bench = Bench(now)
    flight, _ = bench.begin(stream=False)
    assert flight.attempt is not None
    series, flight.attempt.upstream.price_source = flight.attempt.upstream.series, ""
    bench.calls[0].answer(400, b"{}")
    assert series.unpriced == 0


# -- each attempt ----------------------------------------------------------------------------------------------------


def test_each_attempt_of_several_is_recorded_with_what_it_cost(now: StepClock) -> None:
    bench = Bench(now, 2)  # at a dollar a second
    flight, _ = bench.begin(stream=False)
    now.now_s += 2.0
    bench.calls[0].failed(ConnectionLost("closed"))
    priced(flight)
    now.now_s += 3.0
    bench.calls[1].answer(200, json.dumps(ANSWER).encode())
    (record,) = bench.ledger.records
    assert record.tries is not None
    first, second = record.tries
    assert (first.engine, first.replica, first.upstream_model, first.outcome, first.status) == (
        *("t0", "0", "up"),
        *("connection_lost", 0),
    )
    assert (first.start_ms, first.duration_ms, first.ttft_ms, first.cost_usd) == (0.0, 2000.0, None, 2.0)
    assert (first.input_tokens, first.usage_source) == (None, "")
    assert (second.replica, second.outcome, second.status) == ("1", "answered", 200)
    assert (second.duration_ms, second.ttft_ms) == (3000.0, 3000.0)
    assert second.start_ms == 2000.0
    assert (second.input_tokens, second.output_tokens, second.usage_source) == (5, 2, "reported")
    assert (second.cost_usd, record.cost_usd, record.attempts) == (3.0 + 7.0, 2.0 + 3.0 + 7.0, 2)


def test_a_hedge_that_lost_is_recorded_as_abandoned_with_its_share(now: StepClock) -> None:
    bench = Bench(now, 2)
    flight, _ = bench.begin(stream=False)
    bench.send_another(flight)
    now.now_s += 1.0
    bench.calls[0].answer(200, json.dumps(ANSWER).encode())
    (record,) = bench.ledger.records
    assert record.tries is not None
    assert [(one.replica, one.outcome, one.cost_usd) for one in record.tries] == [
        ("0", "answered", 1.0),
        ("1", "abandoned", 1.0),
    ]
    assert record.cost_usd == 2.0


def test_an_error_in_a_200_that_says_what_it_used_costs_that(now: StepClock) -> None:
    bench = Bench(now, 2)
    flight, _ = bench.begin(Operation.RESPONSES, stream=False)
    priced(flight)
    failed = {"status": "failed", "error": {"message": "it broke"}, "usage": {"input_tokens": 9, "output_tokens": 1}}
    bench.calls[0].answer(200, json.dumps(failed).encode())
    whole = {"status": "completed", "usage": {"input_tokens": 9, "output_tokens": 4}}
    priced(flight)
    bench.calls[1].answer(200, json.dumps(whole).encode())
    (record,) = bench.ledger.records
    assert record.tries is not None
    assert [(one.outcome, one.input_tokens, one.cost_usd) for one in record.tries] == [
        ("server_error", 9, 10.0),
        ("answered", 9, 13.0),
    ]
    assert (record.output_tokens, record.cost_usd) == (4, 23.0)


# -- what the client was told ----------------------------------------------------------------------------------------


def usage_event(output_tokens: int) -> bytes:
    return frame({"id": "c", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": output_tokens}})


def test_the_final_usage_event_and_the_record_say_the_same_cost(now: StepClock) -> None:
    bench = Bench(now)
    flight, client = bench.begin(stream_options={"include_usage": True})
    priced(flight)
    finish = frame({"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    bench.calls[0].head()
    now.now_s += 1 / 3
    bench.calls[0].read(finish, usage_event(2))
    now.now_s += 0.7  # of GPU time, after the client was told
    bench.calls[0].done(b"data: [DONE]\n\n")
    told = json.loads(split(client.body)[1].removeprefix(b"data: "))["usage"]["cost_usd"]
    assert told == bench.ledger.records[0].cost_usd == pytest.approx(7.0 + 1 / 3)


def test_of_several_usage_events_the_last_counts(now: StepClock) -> None:
    bench = Bench(now)
    flight, client = bench.begin(stream_options={"include_usage": True})
    priced(flight)
    finish = frame({"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    bench.calls[0].head()
    bench.calls[0].done(finish, usage_event(2), usage_event(4), b"data: [DONE]\n\n")
    told = [json.loads(event.removeprefix(b"data: "))["usage"]["cost_usd"] for event in split(client.body)[1:3]]
    assert told == [7.0, 9.0]
    assert bench.ledger.records[0].cost_usd == 9.0


def test_a_plain_answers_header_and_its_record_say_the_same_cost(now: StepClock) -> None:
    bench = Bench(now)
    flight, client = bench.begin(stream=False)
    priced(flight)
    now.now_s += 1 / 3
    bench.calls[0].answer(200, json.dumps(ANSWER).encode(), JSON)
    assert float(client.headers["x-penstock-cost-usd"]) == bench.ledger.records[0].cost_usd


def test_a_stream_that_says_its_usage_all_the_time_is_not_estimated_when_it_is_cut(now: StepClock) -> None:
    bench = Bench(now)
    flight, _ = bench.begin()
    bench.calls[0].head()
    for tokens in (0, 3, 6):  # three tokens an event, as with speculative decoding
        choice = {"index": 0, "delta": {"content": "some more"}, "finish_reason": None}
        usage = {"prompt_tokens": 5, "completion_tokens": tokens}
        bench.calls[0].read(frame({"id": "c", "choices": [choice], "usage": usage}))
    flight.client_gone()
    (record,) = bench.ledger.records
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (5, 6, "reported")


def counted(output_tokens: int) -> bytes:
    """A piece of text with the usage so far, as continuous usage has it."""
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    return frame({"id": "c", "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": output_tokens}})


@pytest.mark.parametrize(("pieces", "counts"), [(4, (5, 5, "estimated")), (0, (5, 3, "reported"))])
def test_a_cut_stream_counts_the_pieces_that_its_last_report_does_not(
    now: StepClock, pieces: int, counts: tuple[int, int, str]
) -> None:
    bench = Bench(now)
    bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(counted(3), *[chunk("a") for _ in range(pieces)])
    bench.calls[0].failed(ConnectionLost("closed"))
    (record,) = bench.ledger.records
    assert (record.input_tokens, record.output_tokens, record.usage_source) == counts


def test_a_whole_stream_counts_as_reported_however_many_pieces_it_had(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(*[chunk("a") for _ in range(7)])
    bench.calls[0].done(FINISH, usage_event(3), DONE)
    (record,) = bench.ledger.records
    assert (record.output_tokens, record.usage_source) == (3, "reported")
