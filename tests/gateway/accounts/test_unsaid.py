"""A usage that tells one of the two counts alone: the other is estimated and said to be, or its price is unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from engines.errors import AnswerTruncated
from engines.model import Operation
from engines.operations import SHAPES
from engines.wire import DIALECTS, Dialect
from engines.wire.translation import EGRESS
from gateway.accounts.prices import Rates, Row, Table, Tables
from gateway.accounts.record import RequestRecord
from gateway.flight import Flight
from gateway.relay.document import HOLD_BYTES
from routing.failing.hedging import HedgingSettings
from tests.engines.wire.frames import frame
from tests.gateway.flights import JSON, Bench, FakeConnection, StepClock
from tests.gateway.relayed import DONE, FINISH, chunk

DOLLAR_A_TOKEN = Rates(Tables(Table((), (Row(10**12, 0, 0, 10**12, 0, 0),)), {}), "configured")
TEXT = "word " * 20
SAID = len(TEXT) // 4


def bench_of(now: StepClock) -> Bench:
    bench = Bench(now, rates=DOLLAR_A_TOKEN)
    bench.gpu = False
    return bench


def record_of(bench: Bench) -> RequestRecord:
    (record,) = bench.ledger.records
    return record


def chat(usage: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": TEXT}, "finish_reason": "stop"}], "usage": usage}


def completion(usage: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": TEXT, "finish_reason": "stop"}], "usage": usage}


def message(usage: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": TEXT}]
    return {"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn", "usage": usage}


def response(usage: Any) -> dict[str, Any]:
    output = [{"type": "message", "content": [{"type": "output_text", "text": TEXT}]}]
    return {"id": "resp_1", "status": "completed", "output": output, "usage": usage}


def transcript(usage: Any) -> dict[str, Any]:
    return {"text": TEXT, "usage": usage}


Said = Callable[[Any], dict[str, Any]]
PLAIN: list[tuple[Operation, Said, str, str]] = [
    (Operation.CHAT, chat, "prompt_tokens", "completion_tokens"),
    (Operation.COMPLETIONS, completion, "prompt_tokens", "completion_tokens"),
    (Operation.MESSAGES, message, "input_tokens", "output_tokens"),
    (Operation.RESPONSES, response, "input_tokens", "output_tokens"),
]
NAMES = [one[0].name for one in PLAIN]


@pytest.mark.parametrize(("operation", "said", "before", "after"), PLAIN, ids=NAMES)
@pytest.mark.parametrize("odd", ["absent", None, "many", -3, 2.5])
def test_an_answers_missing_output_is_a_token_for_four_bytes_of_its_text(
    now: StepClock, operation: Operation, said: Said, before: str, after: str, odd: Any
) -> None:
    bench = bench_of(now)
    _, client = bench.begin(operation, stream=False)
    usage = {before: 9} if odd == "absent" else {before: 9, after: odd}
    bench.calls[0].answer(200, json.dumps(said(usage)).encode())
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (9, SAID, "estimated")
    assert (record.cost_usd, record.unpriced) == (9.0 + SAID, False)
    assert float(client.headers["x-penstock-cost-usd"]) == record.cost_usd


@pytest.mark.parametrize(("operation", "said", "before", "after"), PLAIN, ids=NAMES)
@pytest.mark.parametrize("odd", ["absent", None, "many"])
def test_an_answers_missing_input_is_an_estimate_of_its_prompt(
    now: StepClock, operation: Operation, said: Said, before: str, after: str, odd: Any
) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(operation, stream=False, messages=[{"role": "user", "content": TEXT * 9}])
    prompt_tokens = flight.facts.prompt_tokens
    usage = {after: 4} if odd == "absent" else {before: odd, after: 4}
    bench.calls[0].answer(200, json.dumps(said(usage)).encode())
    record = record_of(bench)
    assert prompt_tokens > SAID
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (prompt_tokens, 4, "estimated")
    assert record.cost_usd == prompt_tokens + 4.0


def test_what_is_known_of_the_missing_count_is_the_least_of_it(now: StepClock) -> None:
    bench = bench_of(now)
    bench.begin(Operation.MESSAGES, stream=False)
    usage = {"cache_read_input_tokens": 900, "output_tokens": 4}
    bench.calls[0].answer(200, json.dumps(message(usage)).encode())
    record = record_of(bench)
    assert (record.input_tokens, record.cached_tokens, record.usage_source) == (900, 900, "estimated")


def test_an_answer_too_large_to_hold_counts_as_what_has_passed(now: StepClock) -> None:
    bench = bench_of(now)
    bench.begin(stream=False)
    beginning = b'{"choices":[],"a":"%b",' % (b"a" * HOLD_BYTES)
    end = b'"b":"b","usage":{"prompt_tokens":9}}'
    bench.calls[0].head(200, JSON)
    bench.calls[0].read(beginning)
    bench.calls[0].done(end)
    record = record_of(bench)
    assert (record.input_tokens, record.usage_source) == (9, "estimated")
    assert record.output_tokens == len(beginning + end) // 4


def test_a_stream_whose_usage_event_lacks_the_output_counts_its_pieces(now: StepClock) -> None:
    bench = bench_of(now)
    _, client = bench.begin(stream_options={"include_usage": True})
    bench.calls[0].head()
    bench.calls[0].read(*[chunk("a") for _ in range(7)])
    bench.calls[0].done(FINISH, frame({"choices": [], "usage": {"prompt_tokens": 5}}), DONE)
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (5, 7, "estimated")
    assert record.cost_usd == 12.0
    assert b'"cost_usd":12.0' in client.body


def test_a_stream_whose_usage_event_lacks_the_input_counts_its_prompt(now: StepClock) -> None:
    bench = bench_of(now)
    flight, client = bench.begin(
        stream_options={"include_usage": True}, messages=[{"role": "user", "content": TEXT * 9}]
    )
    prompt_tokens = flight.facts.prompt_tokens
    bench.calls[0].head()
    bench.calls[0].read(chunk("a"))
    bench.calls[0].done(FINISH, frame({"choices": [], "usage": {"completion_tokens": 30}}), DONE)
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (prompt_tokens, 30, "estimated")
    assert record.cost_usd == prompt_tokens + 30.0
    assert json.dumps({"cost_usd": record.cost_usd})[1:-1].replace(" ", "").encode() in client.body


def event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())


DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"})
STOP = event("message_stop")


def begins(**usage: Any) -> bytes:
    return event("message_start", message={"id": "m", "content": [], "usage": usage})


def ends(usage: Any) -> bytes:
    return event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)


@pytest.mark.parametrize(
    ("first", "last", "counted"),
    [
        ({"input_tokens": 9, "output_tokens": 1}, {"output_tokens": 30}, (9, 30, "reported")),
        ({"output_tokens": 1}, {"input_tokens": 9, "output_tokens": 30}, (9, 30, "reported")),
        ({"input_tokens": 9, "output_tokens": 1}, None, (9, 5, "estimated")),
        ({"input_tokens": 9, "output_tokens": 1}, {"input_tokens": 9}, (9, 5, "estimated")),
        ({"input_tokens": 9}, {"output_tokens": None}, (9, 5, "estimated")),
    ],
)
def test_what_a_message_begins_with_is_not_all_of_its_output(
    now: StepClock, first: Any, last: Any, counted: tuple[int, int, str]
) -> None:
    bench = bench_of(now)
    bench.begin(Operation.MESSAGES)
    bench.calls[0].head()
    bench.calls[0].read(begins(**first), *[DELTA] * 5)
    bench.calls[0].done(ends(last), STOP)
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == counted
    assert record.cost_usd == float(counted[0] + counted[1])


@pytest.mark.parametrize("leaves", [False, True])
def test_a_message_that_is_cut_behind_its_beginning_is_estimated(now: StepClock, leaves: bool) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(Operation.MESSAGES)
    bench.calls[0].head()
    bench.calls[0].read(begins(input_tokens=9, output_tokens=1), DELTA)
    if leaves:
        flight.client_gone()
    else:
        bench.calls[0].failed(AnswerTruncated("cut"))
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (9, 1, "estimated")


def test_a_hedge_that_lost_is_recorded_with_its_estimate(now: StepClock) -> None:
    bench = Bench(now, 2, rates=DOLLAR_A_TOKEN, hedging=HedgingSettings(after_ms=500))
    bench.gpu = False
    bench.begin(Operation.RESPONSES, stream=False)
    failed = {"status": "failed", "error": {"message": "it broke"}, "usage": {"input_tokens": 9}}
    bench.calls[0].answer(200, json.dumps(failed).encode())
    bench.calls[1].answer(200, json.dumps(response({"input_tokens": 9, "output_tokens": 4})).encode())
    record = record_of(bench)
    assert record.tries is not None
    assert [(one.input_tokens, one.output_tokens, one.usage_source) for one in record.tries] == [
        (9, 0, "estimated"),
        (9, 4, "reported"),
    ]
    assert (record.cost_usd, record.usage_source) == (22.0, "reported")


class Speaks:
    """The dialect of an engine whose chats are Anthropic's."""

    def __init__(self, bench: Bench) -> None:
        upstream = bench.serving.upstreams[bench.route.speakers["/v1/chat/completions"].pools[0][0]]
        upstream.translated = {SHAPES[Operation.CHAT].path: EGRESS["anthropic_messages"]}

    def __call__(self, operation: Operation) -> Dialect:
        return DIALECTS[Operation.MESSAGES]


def translated(now: StepClock, **members: Any) -> tuple[Bench, Flight, FakeConnection]:
    bench = bench_of(now)
    bench.engines[0].dialect = Speaks(bench)  # type: ignore[method-assign]
    flight, client = bench.begin(messages=[{"role": "user", "content": TEXT * 9}], **members)
    return bench, flight, client


def test_a_translated_answer_tells_its_client_the_estimate(now: StepClock) -> None:
    bench, _, client = translated(now, stream=False)
    bench.calls[0].answer(200, json.dumps(message({"input_tokens": 9})).encode())
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (9, SAID, "estimated")
    told = json.loads(client.body)["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (9, SAID)
    assert float(client.headers["x-penstock-cost-usd"]) == record.cost_usd == 9.0 + SAID


def test_a_translated_stream_tells_its_client_the_estimate(now: StepClock) -> None:
    bench, flight, client = translated(now, stream_options={"include_usage": True})
    prompt_tokens = flight.facts.prompt_tokens
    bench.calls[0].head()
    bench.calls[0].read(begins(output_tokens=1), *[DELTA] * 5)
    bench.calls[0].done(ends({"output_tokens": 30}), STOP)
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (prompt_tokens, 30, "estimated")
    (told,) = [json.loads(line[6:])["usage"] for line in client.body.splitlines() if b'"usage":{' in line]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (prompt_tokens, 30)
    assert told["cost_usd"] == record.cost_usd == prompt_tokens + 30.0


@pytest.mark.parametrize("usage", [{"prompt_tokens": 9}, {"total_tokens": 9}, {"prompt_tokens": 9, "total_tokens": 9}])
def test_vectors_have_no_output_to_be_missed(now: StepClock, usage: dict[str, int]) -> None:
    bench = bench_of(now)
    bench.begin(Operation.EMBEDDINGS, stream=False, input="a")
    bench.calls[0].answer(200, json.dumps({"object": "list", "data": [], "usage": usage}).encode())
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (9, 0, "reported")
    assert record.cost_usd == 9.0


@pytest.mark.parametrize(
    ("operation", "usage", "known_usd"),
    [
        (Operation.IMAGES, {"input_tokens": 9}, 9.0),
        (Operation.TRANSCRIPTIONS, {"output_tokens": 4}, 4.0),
    ],
)
def test_of_what_nobody_can_estimate_the_price_is_unknown_and_the_rest_counts(
    now: StepClock, operation: Operation, usage: dict[str, int], known_usd: float
) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(operation, stream=False, prompt="a")
    assert flight.attempt is not None
    series = flight.attempt.upstream.series
    bench.calls[0].answer(200, json.dumps({"usage": usage, "text": "x"}).encode())
    record = record_of(bench)
    assert (record.usage_source, record.cost_usd, record.unpriced) == ("reported", known_usd, True)
    assert series.unpriced == 1


def test_a_transcript_without_its_tokens_counts_by_its_text(now: StepClock) -> None:
    bench = bench_of(now)
    bench.begin(Operation.TRANSCRIPTIONS, stream=False)
    bench.calls[0].answer(200, json.dumps(transcript({"input_tokens": 9})).encode())
    record = record_of(bench)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (9, SAID, "estimated")


def test_an_estimate_teaches_nothing(now: StepClock) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(stream=False)
    before = flight.tokens.output_tokens()
    bench.calls[0].answer(200, json.dumps(chat({"prompt_tokens": 9})).encode())
    assert flight.tokens.output_tokens() == before
