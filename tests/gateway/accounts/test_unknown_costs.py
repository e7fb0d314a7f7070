"""What is charged though no answer came, and what costs something that nobody knows: never zero, and counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.errors import ConnectFailed, ConnectionLost
from engines.model import Operation
from gateway.accounts.prices import Rates, Row, Table, Tables, UnitsRow
from gateway.accounts.record import RequestRecord
from tests.gateway.flights import JSON, Bench, StepClock

DOLLAR_A_TOKEN = Rates(Tables(Table((), (Row(10**12, 0, 0, 10**12, 0, 0),)), {}), "configured")
FREE = Table((), (Row(0, 0, 0, 0, 0, 0),))
ANSWER: dict[str, Any] = {
    "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def by(**units: int) -> Rates:
    """A price of nothing but these: picodollars."""
    return Rates(Tables(FREE, {}, False, UnitsRow(**units), by_token=False), "configured")


def bench_of(now: StepClock, rates: Rates | None, *tiers: int) -> Bench:
    """Of a provider's: no GPU of ours is paid."""
    bench = Bench(now, *tiers, rates=rates)
    bench.gpu = False
    return bench


def settled(bench: Bench) -> tuple[RequestRecord, int]:
    """The record, and how many are counted as unpriced."""
    (record,) = bench.ledger.records
    return record, bench.metrics.series("m", "t0").unpriced + bench.metrics.series("m", "t1").unpriced


def test_a_prompt_that_a_provider_took_and_lost_is_charged_for(now: StepClock) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN, 2)
    flight, _ = bench.begin(stream=False)
    bench.calls[0].failed(ConnectionLost("closed"))
    bench.calls[1].answer(200, json.dumps(ANSWER).encode())
    record, unpriced = settled(bench)
    assert record.tries is not None
    lost = record.tries[0]
    prompt_tokens = flight.facts.prompt_tokens
    assert (lost.input_tokens, lost.output_tokens, lost.usage_source) == (prompt_tokens, 0, "estimated")
    assert (lost.cost_usd, record.cost_usd) == (float(prompt_tokens), prompt_tokens + 7.0)
    assert (unpriced, record.unpriced) == (0, False)


@pytest.mark.parametrize("status", [400, 429, 500])
def test_what_a_provider_refused_is_not_charged_for(now: StepClock, status: int) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN)
    flight, _ = bench.begin(stream=False)
    bench.calls[0].answer(status, b"{}")
    flight.client_gone()  # where it waits to be sent again
    record, unpriced = settled(bench)
    assert (record.input_tokens, record.cost_usd, unpriced, record.unpriced) == (None, None, 0, False)


def test_what_was_never_sent_is_not_charged_for(now: StepClock) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN, 2)
    bench.begin(stream=False)
    bench.calls[0].failed(ConnectFailed("refused"))
    bench.calls[1].answer(200, json.dumps(ANSWER).encode())
    record, unpriced = settled(bench)
    assert record.tries is not None
    assert (record.tries[0].input_tokens, record.tries[0].cost_usd, record.cost_usd) == (None, None, 7.0)
    assert (unpriced, record.unpriced) == (0, False)


def test_a_client_that_leaves_before_the_first_byte_has_cost_its_prompt(now: StepClock) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN)
    flight, _ = bench.begin()
    flight.client_gone()
    record, _ = settled(bench)
    assert (record.status, record.usage_source) == (499, "estimated")
    assert record.cost_usd == record.input_tokens == flight.facts.prompt_tokens > 0


def test_an_answer_of_a_provider_that_tells_no_usage_is_unpriced(now: StepClock) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN)
    bench.begin(stream=False)
    bench.calls[0].answer(200, json.dumps(ANSWER | {"usage": {}}).encode())
    record, unpriced = settled(bench)
    assert (record.input_tokens, record.cost_usd, record.unpriced, unpriced) == (None, None, True, 1)


def test_a_fallback_that_nobody_prices_is_unpriced_though_the_first_attempt_cost_something(now: StepClock) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN, 2)
    flight, _ = bench.begin(stream=False)
    bench.calls[0].failed(ConnectionLost("closed"))
    assert flight.attempt is not None
    flight.attempt.upstream.rates, flight.attempt.upstream.price_source = None, ""
    bench.calls[1].answer(200, json.dumps(ANSWER).encode())
    record, unpriced = settled(bench)
    assert (record.cost_usd, record.unpriced, unpriced) == (float(flight.facts.prompt_tokens), True, 1)


def test_speech_costs_what_its_characters_do(now: StepClock) -> None:
    bench = bench_of(now, by(character=15_000_000))
    bench.begin(Operation.SPEECH, stream=False, input="a long way \U0001f327")
    bench.calls[0].answer(200, b"\xff\xf3\x84", ((b"content-type", b"audio/mpeg"),))
    record, unpriced = settled(bench)
    assert (record.units, record.cost_usd, record.input_tokens) == ({"characters": 12}, 12 * 15e-6, None)
    assert (unpriced, record.unpriced) == (0, False)


def test_speech_that_has_a_price_of_tokens_and_tells_none_is_unpriced(now: StepClock) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN)
    bench.begin(Operation.SPEECH, stream=False, input="a")
    bench.calls[0].answer(200, b"\xff\xf3\x84", ((b"content-type", b"audio/mpeg"),))
    record, unpriced = settled(bench)
    assert (record.cost_usd, record.unpriced, unpriced) == (None, True, 1)


@pytest.mark.parametrize(
    ("operation", "told", "rates", "units", "cost"),
    [
        (
            *(Operation.TRANSCRIPTIONS, {"text": "a", "usage": {"type": "duration", "seconds": 90}}),
            *(by(audio_hour=36 * 10**10), {"audio_seconds": 90.0}, 0.009),
        ),
        (
            *(Operation.TRANSCRIPTIONS, {"task": "transcribe", "duration": 7.5, "text": "a"}),
            *(by(audio_hour=36 * 10**10), {"audio_seconds": 7.5}, 0.00075),
        ),
        (Operation.TRANSCRIPTIONS, {"text": "a"}, by(audio_hour=36 * 10**10), None, None),
        (
            *(Operation.IMAGES, {"created": 1, "data": [{"b64_json": "aa"}, {"b64_json": "bb"}]}),
            *(by(image=4 * 10**10), {"images": 2}, 0.08),
        ),
        (
            *(Operation.IMAGES, {"data": [{"url": "https://a.test", "revised_prompt": 'say "url":'}]}),
            *(by(image=4 * 10**10), {"images": 1}, 0.04),
        ),
        (
            *(Operation.IMAGES, {"data": [{"b64_json": None, "url": "x"}, {"b64_json": "aa", "url": None}]}),
            *(by(image=4 * 10**10), {"images": 2}, 0.08),
        ),
        (Operation.IMAGES, {"created": 1, "data": [{"b64_json": "aa"}]}, None, {"images": 1}, None),
    ],
)
def test_sound_and_pictures_cost_what_they_are_counted_by_or_are_unpriced(
    now: StepClock, operation: Operation, told: dict[str, Any], rates: Rates | None, units: Any, cost: float | None
) -> None:
    bench = bench_of(now, rates)
    bench.begin(operation, stream=False)
    bench.calls[0].answer(200, json.dumps(told, separators=(",", ":")).encode(), JSON)
    record, unpriced = settled(bench)
    assert (record.units, record.cost_usd, record.input_tokens) == (units, cost, None)
    assert (record.unpriced, unpriced) == (cost is None, 0 if cost is not None else 1)


def test_what_costs_nothing_has_no_price_to_know(now: StepClock) -> None:
    bench = bench_of(now, None)
    bench.begin(Operation.TOKENIZE, stream=False)
    bench.calls[0].answer(200, b'{"tokens": [1]}')
    assert settled(bench)[1] == 0


def test_a_search_that_a_response_made_is_paid_beside_its_tokens(now: StepClock) -> None:
    tables = Tables(DOLLAR_A_TOKEN.tables.standard, {}, False, UnitsRow(web_search=10**10))
    calls = [{"type": "web_search_call", "action": {"type": kind}} for kind in ("search", "open_page", "search")]
    told = {"status": "completed", "output": calls, "usage": {"input_tokens": 5, "output_tokens": 2}}
    bench = bench_of(now, Rates(tables, "configured"))
    bench.begin(Operation.RESPONSES, stream=False)
    bench.calls[0].answer(200, json.dumps(told).encode())
    record, unpriced = settled(bench)
    assert (record.units, record.cost_usd, unpriced) == ({"web_searches": 2}, 7.02, 0)


def test_a_search_that_has_no_price_leaves_what_its_tokens_cost(now: StepClock) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}
    body = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage}
    bench = bench_of(now, DOLLAR_A_TOKEN)
    bench.begin(Operation.MESSAGES, stream=False)
    bench.calls[0].answer(200, json.dumps(body).encode())
    record, unpriced = settled(bench)
    assert (record.input_tokens, record.cost_usd, record.unpriced, unpriced) == (5, 7.0, True, 1)


def test_an_attempt_says_of_its_own_cost_what_is_known_and_whether_that_is_all(now: StepClock) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}
    body = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage}
    bench = bench_of(now, DOLLAR_A_TOKEN, 2)
    flight, _ = bench.begin(Operation.MESSAGES, stream=False)
    bench.calls[0].failed(ConnectionLost("closed"))
    bench.calls[1].answer(200, json.dumps(body).encode())
    record, unpriced = settled(bench)
    assert record.tries is not None
    prompt_usd = float(flight.facts.prompt_tokens)
    assert [(one.cost_usd, one.unpriced) for one in record.tries] == [(prompt_usd, False), (7.0, True)]
    assert (record.cost_usd, record.unpriced, unpriced) == (prompt_usd + 7.0, True, 1)


def test_an_attempt_of_which_nothing_is_known_has_no_cost_and_says_so(now: StepClock) -> None:
    bench = bench_of(now, DOLLAR_A_TOKEN, 2)
    flight, _ = bench.begin(stream=False)
    bench.calls[0].failed(ConnectionLost("closed"))
    assert flight.attempt is not None
    flight.attempt.upstream.rates, flight.attempt.upstream.price_source = None, ""
    bench.calls[1].answer(200, json.dumps(ANSWER).encode())
    record, _ = settled(bench)
    assert record.tries is not None
    assert [one.unpriced for one in record.tries] == [False, True]
    assert record.tries[1].cost_usd is None
