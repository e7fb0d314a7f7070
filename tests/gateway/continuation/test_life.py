"""A stream whose engine dies goes on elsewhere: one answer to the client, nothing left over, and an honest account."""

from __future__ import annotations

import base64
import json
import random
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import (
    AnswerTruncated,
    ClientStalled,
    ConnectFailed,
    ConnectionLost,
    EngineError,
    IdleTimeout,
    TotalTimeout,
)
from engines.model import Operation
from engines.sse import payload, split
from gateway.accounts.lost import PICTURE_TOKENS
from gateway.accounts.prices import Rates, Row, Table, Tables
from gateway.body.held import HeldPrompts
from routing.route import RetrySettings
from tests.engines.wire.frames import frame
from tests.gateway.flights import HELD_BYTES, JSON, KEEN, Bench, FakeConnection, FakeExchange, StepClock
from tests.gateway.relayed import DONE, ERROR
from tests.gateway.test_flight import claims_no_false_success

pytestmark = pytest.mark.usefixtures("now")

HELLO = [{"role": "user", "content": "hello"}]
DIED = AnswerTruncated("closed")


def words(*texts: str, id: str = "c1") -> list[bytes]:
    return [
        frame({"id": id, "created": 1, "model": "up", "choices": [{"index": 0, "delta": d, "finish_reason": None}]})
        for d in [{"role": "assistant", "content": ""}, *[{"content": text} for text in texts]]
    ]


def finish(id: str = "c2", **usage: int) -> list[bytes]:
    head = {"id": id, "created": 2, "model": "up"}
    end = frame({**head, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]})
    return [end, *([frame({**head, "choices": [], "usage": usage})] if usage else []), DONE]


def begun(*texts: str, replicas: int = 2, continuations: int = 1, **more: Any) -> tuple[Bench, FakeConnection]:
    """A stream that has said something at the first replica."""
    members = more.pop("members", {})
    bench = Bench(StepClock(), replicas, continuations=continuations, **more)
    _, client = bench.begin(messages=HELLO, **members)
    bench.calls[0].head()
    bench.calls[0].read(*words(*texts))
    return bench, client


def asked(call: FakeExchange) -> dict[str, Any]:
    answer = json.loads(call.body)
    assert isinstance(answer, dict)
    return answer


def told(client: FakeConnection) -> list[Any]:
    data = [payload(event) for event in split(client.body)]
    return [one if one == b"[DONE]" else json.loads(one) for one in data if one]


def text_of(events: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content", "") for event in events if isinstance(event, dict) for choice in event["choices"]
    )


DEATHS: list[EngineError] = [DIED, IdleTimeout("silent"), ConnectionLost("reset")]


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: type(death).__name__)
def test_the_client_sees_one_stream(death: EngineError) -> None:
    bench, client = begun("One", " two", members={"max_tokens": 10, "stream_options": {"include_usage": True}})
    bench.calls[0].failed(death)
    assert client.state == "streaming"
    _, second = bench.calls
    assert (second.replica, asked(second)["max_tokens"]) == ("1", 8)
    assert asked(second)["messages"] == [*HELLO, {"role": "assistant", "content": "One two"}]
    second.head()
    second.read(*words(" three", id="c2"))
    second.done(*finish(prompt_tokens=12, completion_tokens=3, total_tokens=15))
    events = told(client)
    assert events.pop() == b"[DONE]"
    assert text_of(events) == "One two three"
    assert {(event["id"], event["created"]) for event in events} == {("c1", 1)}
    roles = [choice["delta"].get("role") for event in events for choice in event["choices"]]
    assert roles == ["assistant", *[None] * (len(roles) - 1)]
    mark = {"continued": 1, "after_tokens": 2}
    assert [event.get("penstock") for event in events][-2:] == [mark, mark]
    usage = {name: events[-1]["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert usage == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    record = bench.ledger.records[0]
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (10, 5, "estimated")
    assert (record.error, record.attempts, record.replica, record.finish_reason) == ("", 2, "1", "stop")
    assert (bench.ledger.continuations, bench.outstanding()) == (["continued"], {})


@pytest.mark.parametrize("end", ["error event", "no finish reason"])
def test_an_engine_that_says_that_it_broke_or_just_stops_is_taken_over_too(end: str) -> None:
    bench, client = begun("One")
    if end == "error event":
        bench.calls[0].read(*words(" two")[1:], ERROR, DONE)
        assert not bench.calls[0].open
    else:
        bench.calls[0].read(*words(" two")[1:])
        bench.calls[0].done()
    bench.calls[1].head()
    bench.calls[1].done(*words(" three", id="c2"), *finish())
    assert text_of(told(client)[:-1]) == "One two three"
    assert bench.ledger.records[0].error == ""
    assert (bench.ledger.continuations, bench.outstanding()) == (["continued"], {})


def test_the_dead_replica_is_blamed_and_gives_back_what_it_had_at_once() -> None:
    bench, _ = begun("One")
    dead, other = bench.table
    bench.calls[0].failed(DIED)
    assert (sum(dead.breaker._bad), sum(dead.breaker._good), dead.in_flight_requests) == (1, 0, 0)
    assert other.in_flight_requests == 1
    bench.calls[1].head()
    bench.calls[1].done(*words("x"), *finish())


def test_what_came_with_the_end_is_part_of_what_was_said() -> None:
    """The last events and the error may come in one read, so that they have not left yet."""
    bench, client = begun("One")
    call = bench.calls[0]
    call.sink.data(words(" two")[1])
    call.failed(DIED)
    assert asked(bench.calls[1])["messages"][-1]["content"] == "One two"
    bench.calls[1].head()
    bench.calls[1].done(*words(" three"), *finish())
    assert text_of(told(client)[:-1]) == "One two three"
    assert bench.outstanding() == {}


def test_one_that_died_before_its_first_word_is_asked_anew() -> None:
    bench, client = begun()
    bench.calls[0].failed(DIED)
    assert asked(bench.calls[1])["messages"] == HELLO
    bench.calls[1].head()
    bench.calls[1].done(*words("One", id="c2"), *finish())
    events = told(client)[:-1]
    assert text_of(events) == "One"
    assert [choice["delta"].get("role") for event in events for choice in event["choices"]].count("assistant") == 1
    assert {event["id"] for event in events} == {"c1"}


def test_a_completion_goes_on_too() -> None:
    bench = Bench(StepClock(), 2, continuations=1)
    _, client = bench.begin(Operation.COMPLETIONS, prompt="Once", max_tokens=5)
    piece = {"id": "c1", "choices": [{"index": 0, "text": " upon", "finish_reason": None}]}
    bench.calls[0].head()
    bench.calls[0].read(frame(piece))
    bench.calls[0].failed(DIED)
    assert (asked(bench.calls[1])["prompt"], asked(bench.calls[1])["max_tokens"]) == ("Once upon", 4)
    bench.calls[1].head()
    last = {"id": "c2", "choices": [{"index": 0, "text": " a time", "finish_reason": "length"}]}
    bench.calls[1].done(frame(last), DONE)
    events = told(client)[:-1]
    assert [event["choices"][0]["text"] for event in events] == [" upon", " a time"]
    assert {event["id"] for event in events} == {"c1"}


def test_a_completion_keeps_its_white_space_for_no_template_strips_it() -> None:
    bench = Bench(StepClock(), 2, continuations=1)
    _, client = bench.begin(Operation.COMPLETIONS, prompt="Once")
    bench.calls[0].head()
    bench.calls[0].read(frame({"id": "c1", "choices": [{"index": 0, "text": "para.\n", "finish_reason": None}]}))
    bench.calls[0].failed(DIED)
    bench.calls[1].head()
    bench.calls[1].done(frame({"id": "c2", "choices": [{"index": 0, "text": "\nNext", "finish_reason": "stop"}]}), DONE)
    assert "".join(event["choices"][0]["text"] for event in told(client)[:-1]) == "para.\n\nNext"


def test_an_engine_that_reports_as_it_goes_is_counted_exactly() -> None:
    """`continuous_usage`: an event may hold several tokens, and says how many there are."""
    bench = Bench(StepClock(), 2, continuations=1)
    _, client = bench.begin(messages=HELLO, max_tokens=20, stream_options={"include_usage": True})
    piece = {"id": "c1", "choices": [{"index": 0, "delta": {"content": "One two three"}, "finish_reason": None}]}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    bench.calls[0].head()
    bench.calls[0].read(frame({**piece, "usage": usage}))
    bench.calls[0].failed(DIED)
    assert asked(bench.calls[1])["max_tokens"] == 17
    bench.calls[1].head()
    bench.calls[1].done(*words(" four"), *finish(prompt_tokens=12, completion_tokens=1, total_tokens=13))
    said = told(client)[-2]["usage"]
    assert (said["prompt_tokens"], said["completion_tokens"], said["total_tokens"]) == (9, 4, 13)
    record = bench.ledger.records[0]
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (9, 4, "reported")


# -- when it is not ----------------------------------------------------------------------------------------------------


def ends_in_an_error(bench: Bench, client: FakeConnection, reason: str) -> None:
    assert client.state == "answered"
    assert "error" in told(client)[-1]
    claims_no_false_success(client)
    assert (bench.ledger.continuations, bench.outstanding()) == ([reason], {})
    assert bench.ledger.records[0].error


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "schema"),
        ({"n": 2}, "choices"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 2}, "length"),
    ],
)
def test_what_would_be_another_answer_is_passed_over_with_its_reason(members: dict[str, Any], reason: str) -> None:
    bench, client = begun("One", " two", members=members)
    bench.calls[0].failed(DIED)
    assert len(bench.calls) == 1
    ends_in_an_error(bench, client, reason)


def test_text_that_was_thought_and_not_said_is_passed_over() -> None:
    bench, client = begun("One")
    bench.calls[0].read(frame({"id": "c1", "choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}))
    bench.calls[0].failed(DIED)
    ends_in_an_error(bench, client, "reasoning")


def test_what_breaks_after_its_finish_reason_is_finished_and_asked_for_nowhere_else() -> None:
    bench, client = begun("One", members={"stream_options": {"include_usage": True}})
    bench.calls[0].read(finish("c1")[0])
    bench.calls[0].done(ERROR, DONE)
    assert (len(bench.calls), client.state) == (1, "answered")
    assert (bench.ledger.continuations, bench.outstanding()) == (["finished"], {})


def test_no_other_replica_no_budget_and_no_room_for_the_prompt() -> None:
    bench, client = begun("One", replicas=1)
    bench.calls[0].failed(DIED)
    ends_in_an_error(bench, client, "no_replica")
    poor = RetrySettings(budget_floor_per_s=0.0, budget_per_request=0.0, budget_cap=1.0)
    bench, client = begun("One", retry=poor)
    bench.calls[0].failed(DIED)
    ends_in_an_error(bench, client, "budget")
    bench, client = begun("One", members={"user": "x" * HELD_BYTES})
    assert bench.ledger.held.bytes == 0
    bench.calls[0].failed(DIED)
    ends_in_an_error(bench, client, "memory")


def test_an_engine_that_cannot_continue_a_message_is_not_asked_to() -> None:
    bench, client = begun("One")
    bench.engines[0].continues_chat = False
    bench.calls[0].failed(DIED)
    ends_in_an_error(bench, client, "no_replica")


@pytest.mark.parametrize("end", [TotalTimeout("time is up"), ClientStalled("not read")])
def test_what_is_no_fault_of_the_engine_is_told_as_ever(end: EngineError) -> None:
    bench, client = begun("One")
    bench.calls[0].failed(end)
    assert (len(bench.calls), client.state, bench.ledger.continuations, bench.outstanding()) == (1, "answered", [], {})


def test_a_marker_without_a_finish_reason_is_a_habit_and_no_death() -> None:
    bench, client = begun("One")
    bench.calls[0].done(DONE)
    assert (len(bench.calls), client.state, bench.ledger.continuations) == (1, "answered", [])


def test_without_the_setting_nothing_is_kept_and_nothing_goes_on() -> None:
    bench, client = begun("One", continuations=0)
    assert bench.ledger.held.bytes == 0
    bench.calls[0].failed(DIED)
    assert (len(bench.calls), bench.ledger.continuations, client.state) == (1, [], "answered")


def test_the_prompt_is_counted_while_it_is_kept() -> None:
    bench, _ = begun("One")
    assert bench.ledger.held.bytes > 16_384
    bench.calls[0].read(*words(*["word " * 20] * 300)[1:])
    grown = bench.ledger.held.bytes
    assert grown > 16_384 + 20_000
    bench.calls[0].done(*finish())
    assert (bench.ledger.held.bytes, bench.outstanding()) == (0, {})


def test_what_is_said_may_outgrow_the_room_and_is_then_let_go() -> None:
    bench, client = begun("One")
    bench.calls[0].read(*words(*["word " * 40] * 1000)[1:])
    assert bench.ledger.held.bytes == 0
    bench.calls[0].failed(DIED)
    ends_in_an_error(bench, client, "memory")


ONLY_HERE = 2
"""References to what a test alone knows: its own, and the call's that counts them."""


@pytest.mark.parametrize("unfit", [{"n": 2}, {"user": "x" * HELD_BYTES}], ids=["cannot go on", "no room"])
def test_a_prompt_that_is_of_no_use_is_let_go_with_the_first_byte(unfit: dict[str, Any]) -> None:
    bench = Bench(StepClock(), 2, continuations=1)
    flight, _ = bench.begin(messages=HELLO, **unfit)
    prompt = flight._prompt
    bench.calls[0].head()
    bench.calls[0].read(*words("One"))
    assert (sys.getrefcount(prompt), flight.request.body) == (ONLY_HERE, b"")
    flight.client_gone()


def test_a_prompt_is_let_go_with_what_is_said_when_that_outgrows_the_room() -> None:
    bench = Bench(StepClock(), 2, continuations=1)
    flight, _ = bench.begin(messages=HELLO)
    prompt = flight._prompt
    bench.calls[0].head()
    bench.calls[0].read(*words("One"))
    assert prompt is not None
    assert prompt.kept_bytes == len(prompt.body) == len(flight.request.body)
    bench.calls[0].read(*words(*["word " * 40] * 1000)[1:])
    assert (sys.getrefcount(prompt), flight.request.body) == (ONLY_HERE, b"")
    flight.client_gone()


def test_the_prompt_of_the_second_engine_is_let_go_with_its_first_byte() -> None:
    bench = Bench(StepClock(), 3, continuations=2)
    flight, client = bench.begin(messages=HELLO)
    bench.calls[0].head()
    bench.calls[0].read(*words("One"))
    bench.calls[0].failed(DIED)
    prompt = flight._prompt
    bench.calls[1].head()
    bench.calls[1].read(*words(" two"))
    assert sys.getrefcount(prompt) == ONLY_HERE
    bench.calls[1].failed(DIED)
    bench.calls[2].head()
    bench.calls[2].done(*words(" three"), *finish())
    assert text_of(told(client)) == "One two three"
    assert bench.outstanding() == {}


# -- more than one death -----------------------------------------------------------------------------------------------


def test_once_for_each_request_unless_more_is_asked_for() -> None:
    bench, client = begun("One", replicas=3)
    bench.calls[0].failed(DIED)
    bench.calls[1].head()
    bench.calls[1].read(*words(" two", id="c2"))
    bench.calls[1].failed(DIED)
    assert (len(bench.calls), bench.ledger.continuations) == (2, ["continued", "again"])
    assert client.state == "answered"
    assert "error" in told(client)[-1]
    record = bench.ledger.records[0]
    assert (record.error, record.output_tokens, bench.outstanding()) == ("answer_truncated", 2, {})


def test_twice_where_it_is() -> None:
    bench, client = begun("One", replicas=3, continuations=2, members={"max_tokens": 9})
    bench.calls[0].failed(DIED)
    bench.calls[1].head()
    bench.calls[1].read(*words(" two", id="c2"))
    bench.calls[1].failed(DIED)
    assert asked(bench.calls[2])["messages"][-1]["content"] == "One two"
    assert (bench.calls[2].replica, asked(bench.calls[2])["max_tokens"]) == ("2", 7)
    bench.calls[2].head()
    bench.calls[2].done(*words(" three", id="c3"), *finish("c3"))
    events = told(client)[:-1]
    assert (text_of(events), {event["id"] for event in events}) == ("One two three", {"c1"})
    assert events[-1]["penstock"] == {"continued": 2, "after_tokens": 2}
    assert (bench.ledger.continuations, bench.outstanding()) == (["continued", "continued"], {})


@pytest.mark.parametrize("how", ["refused", "lost", "500", "error in a 200", "document", "empty"])
def test_one_that_fails_before_it_says_anything_is_replaced_by_a_third(how: str) -> None:
    bench, client = begun("One", replicas=3)
    if how == "refused":
        bench.engines[0].refusals = [ConnectFailed("refused")]
    bench.calls[0].failed(DIED)
    second = bench.calls[1]
    if how == "lost":
        second.failed(ConnectionLost("closed"))
    elif how == "500":
        second.answer(500, b"", JSON)
    elif how == "error in a 200":
        second.head()
        second.read(ERROR)
    elif how == "document":
        second.answer(200, b"{}", JSON)
    elif how == "empty":
        second.head()
        second.done()
    assert client.state == "streaming"
    bench.calls[2].head()
    bench.calls[2].done(*words(" two", id="c3"), *finish("c3"))
    assert text_of(told(client)[:-1]) == "One two"
    assert (bench.ledger.continuations, bench.outstanding()) == (["continued"], {})


def test_where_all_others_fail_the_failure_that_began_it_is_told() -> None:
    bench, client = begun("One", replicas=3)
    bench.engines[0].refusals = [ConnectFailed("refused"), ConnectFailed("refused")]
    bench.calls[0].failed(DIED)
    assert len(bench.calls) == 3
    assert told(client)[-1]["error"]["message"] == "model 'm': closed"
    ends_in_an_error(bench, client, "failed")
    assert bench.ledger.records[0].output_tokens == 1


def test_an_engine_that_refuses_the_request_is_the_last_one_asked() -> None:
    bench, client = begun("One", replicas=3)
    bench.calls[0].failed(DIED)
    bench.calls[1].answer(400, b'{"error":{"message":"no such template","type":"x","code":400}}', JSON)
    assert len(bench.calls) == 2
    assert told(client)[-1]["error"]["message"] == "model 'm': closed"
    ends_in_an_error(bench, client, "failed")


def test_a_client_that_leaves_meanwhile_frees_the_second_engine() -> None:
    bench = Bench(StepClock(), 2, continuations=1)
    flight, client = bench.begin(messages=HELLO)
    bench.calls[0].head()
    bench.calls[0].read(*words("One"))
    flight.client_paused()
    bench.calls[0].failed(DIED)
    assert bench.calls[1].paused
    flight.client_gone()
    assert (bench.calls[1].aborted, client.state, bench.outstanding()) == (True, "streaming", {})
    assert bench.ledger.records[0].status == 499


def test_all_that_was_asked_is_paid_for(now: StepClock) -> None:
    rates = Rates(Tables(Table((), (Row(10**12, 0, 0, 10**13, 0, 0),)), {}), "configured")
    bench = Bench(now, 2, continuations=1, rates=rates)
    flight, _ = bench.begin(messages=HELLO)
    prompt_tokens = flight.facts.prompt_tokens
    now.now_s += 1.0
    bench.calls[0].head()
    bench.calls[0].read(*words("One", " two"))
    bench.calls[0].failed(DIED)
    now.now_s += 2.0
    bench.calls[1].head()
    bench.calls[1].done(*words(" three"), *finish(prompt_tokens=40, completion_tokens=2))
    first, second, gpu = prompt_tokens + 2 * 10.0, 40 + 2 * 10.0, 1.0 + 2.0
    record = bench.ledger.records[0]
    assert record.cost_usd == pytest.approx(first + second + gpu)
    assert (record.ttft_ms, record.response_id) == (1000.0, "c1")
    assert record.tries is not None
    assert [(one.outcome, one.replica, one.output_tokens, one.usage_source) for one in record.tries] == [
        ("cut_short", "0", 2, "estimated"),
        ("answered", "1", 2, "reported"),
    ]


def first_of(bench: Bench) -> tuple[int | None, int | None, str, float | None]:
    """What the attempt that died is recorded with."""
    tries = bench.ledger.records[0].tries
    assert tries is not None
    return tries[0].input_tokens, tries[0].output_tokens, tries[0].usage_source, tries[0].cost_usd


def dollar_a_token(window: int = 0) -> Rates:
    return Rates(Tables(Table((), (Row(10**12, 0, 0, 10**12, 0, 0),)), {}, context_tokens=window), "configured")


def test_a_picture_in_what_died_counts_as_a_picture_not_as_its_bytes(now: StepClock) -> None:
    """What it died of is the same to its provider as what a client leaves (`gateway.accounts.lost`)."""
    pixels = base64.b64encode(random.Random(3).randbytes(300_000)).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixels}"}}
    bench = Bench(now, 2, continuations=1, rates=dollar_a_token())
    bench.gpu, bench.ledger.held = False, HeldPrompts(1_000_000)
    flight, _ = bench.begin(messages=[{"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]}])
    assert flight.facts.prompt_tokens > 100_000
    bench.calls[0].head()
    bench.calls[0].read(*words("One", " two"))
    bench.calls[0].failed(DIED)
    bench.calls[1].head()
    bench.calls[1].done(*words(" three"), *finish(prompt_tokens=900, completion_tokens=1))
    prompt_tokens, output_tokens, source, cost_usd = first_of(bench)
    assert prompt_tokens is not None
    assert PICTURE_TOKENS < prompt_tokens < PICTURE_TOKENS + 100
    assert (output_tokens, source, cost_usd) == (2, "estimated", prompt_tokens + 2.0)


def test_what_died_counts_as_no_more_than_its_model_can_read(now: StepClock) -> None:
    bench = Bench(now, 2, continuations=1, rates=dollar_a_token(window=1_000))
    flight, _ = bench.begin(messages=[{"role": "user", "content": "many words " * 2_000}])
    assert flight.facts.prompt_tokens > 1_000
    bench.calls[0].head()
    bench.calls[0].read(*words("One"))
    bench.calls[0].failed(DIED)
    bench.calls[1].head()
    bench.calls[1].done(*words(" two"), *finish())
    assert first_of(bench)[:3] == (1_000, 1, "estimated")


def test_what_the_first_engine_reported_is_what_its_part_counts(now: StepClock) -> None:
    bench = Bench(now, 2, continuations=1, rates=dollar_a_token())
    bench.gpu = False
    bench.begin(messages=HELLO)
    bench.calls[0].head()
    so_far = {"id": "c1", "model": "up", "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
    bench.calls[0].read(*words("One", " two"), frame({**so_far, "choices": []}))
    bench.calls[0].failed(DIED)
    bench.calls[1].head()
    bench.calls[1].done(*words(" three"), *finish(prompt_tokens=9, completion_tokens=1))
    assert first_of(bench) == (7, 2, "reported", 9.0)


def test_one_that_died_before_its_first_word_is_paid_for_its_prompt(now: StepClock) -> None:
    bench = Bench(now, 2, continuations=1, rates=dollar_a_token())
    bench.gpu = False
    flight, _ = bench.begin(messages=HELLO)
    prompt_tokens = flight.facts.prompt_tokens
    bench.calls[0].head()
    bench.calls[0].read(*words())
    bench.calls[0].failed(DIED)
    bench.calls[1].head()
    bench.calls[1].done(*words("One"), *finish(prompt_tokens=9, completion_tokens=1))
    assert first_of(bench) == (prompt_tokens, 0, "estimated", float(prompt_tokens))


# -- any order ---------------------------------------------------------------------------------------------------------

ENDS = (*DEATHS, TotalTimeout("late"), None)


@settings(deadline=None)
@given(
    lives=st.lists(
        st.tuples(st.lists(st.sampled_from(["a", " b", "\n", ""]), max_size=4), st.sampled_from(ENDS), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    most=st.integers(1, 3),
    leaves=st.booleans(),
)
def test_whatever_dies_when_one_honest_answer_comes_and_nothing_is_left(
    lives: list[tuple[list[str], EngineError | None, bool]], most: int, leaves: bool
) -> None:
    bench = Bench(StepClock(), 4, continuations=most, retry=KEEN)
    flight, client = bench.begin(messages=HELLO)
    said = ""
    for number, (texts, end, errs) in enumerate(lives):
        if flight.settled or number >= len(bench.calls):
            break
        call = bench.calls[number]
        call.head()
        call.read(*words(*texts, id=f"c{number}"))
        again = said[len(said.rstrip()) :]
        joined = "".join(texts)
        while again and joined and again[0] == joined[0]:
            again, joined = again[1:], joined[1:]
        said += joined
        if errs and call.open:
            call.read(ERROR)
        elif call.open and end is not None:
            call.failed(end)
        elif call.open:
            call.done(*finish(f"c{number}"))
    if leaves:
        flight.client_gone()
    else:
        while not flight.settled:
            (call,) = [call for call in bench.calls if call.open]
            call.failed(ConnectionLost("closed"))
    claims_no_false_success(client)
    assert (bench.outstanding(), [call for call in bench.calls if call.open]) == ({}, [])
    assert len(bench.ledger.records) == 1
    if client.state == "answered" and client.status == 200:
        events = [event for event in told(client) if isinstance(event, dict) and "choices" in event]
        assert text_of(events) == said
        assert len({event["id"] for event in events}) <= 1
