"""What every wire format owes the relay, whatever an engine sends."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from engines.sse import split
from engines.wire import DIALECTS, ApiError, Dialect
from engines.wire.dialect import NOTHING
from tests.engines.wire.frames import Json, counts, frame, framed, shuffled, words

relaxed = settings(deadline=None)
CHAT, RESPONSES, MESSAGES = (
    DIALECTS[operation] for operation in (Operation.CHAT, Operation.RESPONSES, Operation.MESSAGES)
)
EACH = pytest.mark.parametrize("wire", sorted(set(DIALECTS.values()), key=repr), ids=lambda wire: type(wire).__name__)


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Objects of some of these members."""
    return st.fixed_dictionaries({}, optional=members)


details = objects(cached_tokens=counts, cache_write_tokens=counts, reasoning_tokens=counts, audio_tokens=counts)
errors = st.one_of(
    words,
    st.none(),
    objects(message=words, type=words, code=st.one_of(words, st.integers(0, 999), st.none()), param=words),
)
chat_usage = objects(
    prompt_tokens=counts,
    completion_tokens=counts,
    total_tokens=counts,
    prompt_tokens_details=st.one_of(st.none(), details),
    completion_tokens_details=st.one_of(st.none(), details),
)
choices = objects(
    index=st.integers(0, 3),
    delta=objects(
        role=st.just("assistant"), content=st.one_of(words, st.none()), reasoning_content=words, refusal=words
    ),
    text=words,
    logprobs=st.none(),
    finish_reason=st.sampled_from([None, None, "stop", "length", "tool_calls", "content_filter"]),
)
chunks = objects(
    id=words,
    object=st.just("chat.completion.chunk"),
    model=words,
    choices=st.lists(choices, max_size=3),
    usage=st.one_of(st.none(), chat_usage),
    error=errors,
    obfuscation=words,
    prompt_filter_results=st.just([]),
)
messages_usage = objects(
    input_tokens=counts,
    output_tokens=counts,
    cache_creation_input_tokens=counts,
    cache_read_input_tokens=counts,
    output_tokens_details=st.one_of(st.none(), objects(thinking_tokens=counts)),
)
message_events = objects(
    type=st.sampled_from(
        [
            "message_start",
            "message_delta",
            "message_stop",
            "ping",
            "error",
            "content_block_delta",
            "content_block_start",
        ]
    ),
    message=objects(usage=messages_usage, stop_reason=st.none()),
    delta=objects(
        type=st.just("text_delta"), text=words, stop_reason=st.sampled_from([None, "end_turn", "max_tokens"])
    ),
    usage=messages_usage,
    error=objects(type=words, message=words),
)
response_usage = objects(
    input_tokens=counts, output_tokens=counts, input_tokens_details=details, output_tokens_details=details
)
response_events = objects(
    type=st.sampled_from(
        [
            *("response.created", "response.output_text.delta", "response.output_item.done"),
            *("response.completed", "response.incomplete", "response.failed", "error"),
        ]
    ),
    delta=words,
    message=words,
    response=objects(
        status=st.sampled_from(["completed", "incomplete", "failed", "in_progress", None]),
        usage=st.one_of(st.none(), response_usage),
        incomplete_details=st.one_of(st.none(), objects(reason=words)),
        error=st.one_of(st.none(), objects(code=words, message=words)),
    ),
)


@relaxed
@given(st.lists(framed(chunks), min_size=1, max_size=4))
def test_a_block_of_chat_chunks_that_holds_something_may_matter(events: list[bytes]) -> None:
    assert CHAT.reader().may_matter(b"".join(events)) or [CHAT.reader().read(event) for event in events] == [
        NOTHING
    ] * len(events)


@relaxed
@given(st.lists(framed(response_events, named=True), min_size=1, max_size=4))
def test_a_block_of_response_events_that_holds_something_may_matter(events: list[bytes]) -> None:
    found = [RESPONSES.reader().read(event) for event in events]
    assert RESPONSES.reader().may_matter(b"".join(events)) or found == [NOTHING] * len(events)


@relaxed
@given(st.lists(framed(message_events, named=True), min_size=1, max_size=4))
def test_a_block_of_message_events_that_holds_something_may_matter(events: list[bytes]) -> None:
    found = [MESSAGES.reader().read(event) for event in events]
    assert MESSAGES.reader().may_matter(b"".join(events)) or found == [NOTHING] * len(events)


@relaxed
@given(
    st.lists(words, max_size=4), st.sampled_from(["compact", "compact ascii"]), st.integers(0, 99), st.integers(0, 99)
)
def test_an_event_that_begins_and_ends_like_an_ordinary_one_is_ordinary(
    texts: list[str], style: str, order: int, later: int
) -> None:
    def chunk(text: str, usage: Json | None = None, reason: str | None = None, order: int = later) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": reason}
        value = {"id": "x", "choices": [choice], "usage": usage}
        return frame(shuffled(value, random.Random(order)), style)

    head, tail = CHAT.reader().ordinary(chunk("once", order=order))
    told = [
        event for text in texts for event in (chunk(text), chunk(text, {"prompt_tokens": 3}), chunk(text, None, "stop"))
    ]
    found = [CHAT.reader().read(event) for event in told if event.startswith(head) and event.endswith(tail)]
    assert found == [NOTHING] * len(found)


def test_the_usual_orders_of_keys_have_an_ordinary_head_and_tail() -> None:
    vllm = {"id": "x", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "usage": None}
    assert CHAT.reader().ordinary(frame(vllm)) == (
        b'data: {"id":"x","choices":[{',
        b'"finish_reason":null}],"usage":null}\n\n',
    )


@EACH
@relaxed
@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(wire: Dialect, data: bytes) -> None:
    for event in (data, b"data: " + data + b"\n\n", b'data: {"type":"error","error":' + data + b"}\n\n"):
        wire.reader().may_matter(event)
        wire.reader().read(event)
        wire.reader().ordinary(event)
        wire.reader().contents(event)
    wire.read_answer(data)


@EACH
def test_a_document_nested_100000_deep_reads_as_nothing(wire: Dialect) -> None:
    deep = b'{"usage":' + b"[" * 100_000
    assert (wire.reader().read(b"data: " + deep + b"\n\n"), wire.read_answer(deep)) == (NOTHING, NOTHING)


@EACH
@relaxed
@given(words.filter(bool), st.one_of(st.none(), words))
def test_a_client_of_the_format_reads_our_error_as_an_error(wire: Dialect, message: str, code: str | None) -> None:
    event = wire.reader().error_event(ApiError(message=message, type="server_error", code=code))
    assert [event] == split(event)
    assert wire.reader().may_matter(event)
    assert message == wire.reader().read(event).error


@EACH
def test_a_finished_stream_ends_as_its_format_says(wire: Dialect) -> None:
    assert wire.end_marker == b"" or wire.reader().read(wire.end_marker).ends
