"""What is more than is translated, and what engines hide in it: the client is told so, and nobody else waits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.wire.bulk import MAX_ANSWER_VALUES, MAX_ELEMENTS, MAX_EVENT_VALUES, MAX_PIECES
from gateway.relay.unary import AT_ONCE_BYTES, LEAST_LISTS, LISTS_EACH, WINDOWS_AT_ONCE
from tests.engines.wire.translation import streams
from tests.scenario.gateway import events_of, one_model, running_gateway
from tests.scenario.upstream import Answer, event, plain, running_upstream, stream

pytestmark = pytest.mark.anyio

SECRET = "k-of-the-engine"
ESCAPED = SECRET.replace("-", "\\u002d")
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


def gemini(url: str) -> dict[str, Any]:
    return {"kind": "gemini", "base_url": url, "api_key": SECRET}


def said(*texts: str, finish: str = "STOP") -> dict[str, Any]:
    parts = [{"text": text} for text in texts]
    return {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}]}


def tiny(most: int) -> dict[str, Any]:
    """So many parts that they hold more than `most` values."""
    return said(*["a"] * (most // 2 + 1))


async def test_a_request_of_too_much_is_a_400_that_names_the_bound_and_its_engine_is_not_asked() -> None:
    async with (
        running_upstream(plain(said("hello"))) as upstream,
        running_gateway(one_model(gemini(upstream.url))) as gateway,
    ):
        many = CHAT | {"messages": CHAT["messages"] * (MAX_ELEMENTS + 1)}
        answer = await gateway.http.post("/v1/chat/completions", json=many)
        error = answer.json()["error"]
        assert (400, "messages") == (answer.status_code, error["param"])
        assert str(MAX_ELEMENTS) in error["message"]
        assert upstream.received == []
        fits = CHAT | {"messages": CHAT["messages"] * MAX_ELEMENTS}
        assert 200 == (await gateway.http.post("/v1/chat/completions", json=fits)).status_code


async def test_what_is_too_much_for_one_format_goes_to_whoever_is_asked_as_it_came() -> None:
    async with running_upstream(plain(said("hello"))) as other, running_upstream() as same:
        tree = one_model(gemini(other.url), same.url)
        async with running_gateway(tree) as gateway:
            many = CHAT | {"messages": CHAT["messages"] * (MAX_ELEMENTS + 1)}
            answer = await gateway.http.post("/v1/chat/completions", json=many)
            assert 200 == answer.status_code
            assert (0, 1) == (len(other.received), len(same.received))


async def test_a_plain_answer_of_too_many_pieces_is_a_failed_attempt() -> None:
    async with (
        running_upstream(plain(tiny(MAX_ANSWER_VALUES))) as upstream,
        running_gateway(one_model(gemini(upstream.url), retry={"max_attempts": 1})) as gateway,
    ):
        answer = await gateway.http.post("/v1/chat/completions", json=CHAT)
        assert (502, "engine_bad_answer") == (answer.status_code, answer.json()["error"]["code"])
        assert str(MAX_ANSWER_VALUES) in (await gateway.records.of(0)).reason


async def test_an_event_of_too_many_pieces_ends_its_stream_and_nothing_of_it_is_told() -> None:
    pieces = [event(said("hello", finish="")), event(tiny(MAX_EVENT_VALUES))]
    async with (
        running_upstream(stream(*pieces)) as upstream,
        running_gateway(one_model(gemini(upstream.url), retry={"max_attempts": 1})) as gateway,
    ):
        answer = await gateway.http.post("/v1/chat/completions", json=CHAT | {"stream": True})
        events = events_of(answer.content)
        assert "error" in events[-1]
        assert str(MAX_EVENT_VALUES) in events[-1]["error"]["message"]
        assert len(events) < 5


def turns(count: int) -> dict[str, Any]:
    """Texts and thoughts by turns."""
    answer = said("a")
    answer["candidates"][0]["content"]["parts"] = [{"text": "a", "thought": at % 2 == 1} for at in range(count)]
    return answer


@pytest.mark.parametrize("streams", [False, True])
async def test_texts_and_thoughts_by_turns_are_told_up_to_a_bound(streams: bool) -> None:
    asked = CHAT | {"max_tokens": 9, "stream": streams}
    for count, most in ((MAX_PIECES - 9, ""), (MAX_PIECES + 1, f"over {MAX_PIECES} pieces")):
        async with (
            running_upstream(stream(event(turns(count))) if streams else plain(turns(count))) as upstream,
            running_gateway(one_model(gemini(upstream.url), retry={"max_attempts": 1})) as gateway,
        ):
            told = await gateway.http.post("/v1/messages", json=asked)
            said_why = told.text if streams else (await gateway.records.of(0)).reason
            assert most in said_why
            assert (b"thinking" in told.content) is not bool(most)


async def test_large_events_in_small_pieces_are_counted_each_for_itself() -> None:
    """Each has nearly as many values as may be, and comes with the end of the one before."""
    text = "[" * 70_000 + '"'  # no value is in a text
    large = event(said(*["a"] * (MAX_EVENT_VALUES // 2 - 20), text, finish=""))
    whole = large * 3 + event(said("bye"))
    pieces = [whole[at : at + 10_000] for at in range(0, len(whole), 10_000)]
    async with (
        running_upstream(stream(*pieces)) as upstream,
        running_gateway(one_model(gemini(upstream.url), retry={"max_attempts": 1})) as gateway,
    ):
        answer = await gateway.http.post("/v1/chat/completions", json=CHAT | {"stream": True})
        events = events_of(answer.content)
        told = "".join(
            one["choices"][0]["delta"].get("content") or ""
            for one in events
            if isinstance(one, dict) and one["choices"]
        )
        assert told.count("[") == 3 * 70_000
        assert told.endswith("bye")


async def test_a_large_event_of_too_many_pieces_ends_its_stream_though_it_comes_in_pieces() -> None:
    whole = event(said("hello", finish="")) + event(said(*["a"] * 20_000))
    pieces = [whole[at : at + 10_000] for at in range(0, len(whole), 10_000)]
    async with (
        running_upstream(stream(*pieces)) as upstream,
        running_gateway(one_model(gemini(upstream.url), retry={"max_attempts": 1})) as gateway,
    ):
        answer = await gateway.http.post("/v1/chat/completions", json=CHAT | {"stream": True})
        events = events_of(answer.content)
        assert str(MAX_EVENT_VALUES) in events[-1]["error"]["message"]
        assert len(events) < 5


def framed_with_a_quote(text: str) -> bytes:
    """A message of Bedrock's whose lengths or checksum have a byte that is a quote in JSON."""
    for more in range(10_000):
        found = streams.converse("contentBlockDelta", contentBlockIndex=0, delta={"text": text + " " * more})
        if found[:12].count(b'"') % 2:
            return found
    raise AssertionError("no such message")


@pytest.mark.parametrize("piece_bytes", [1_000_000, 10_000])
async def test_what_a_binary_message_has_before_its_json_is_not_counted(piece_bytes: int) -> None:
    """One in forty large ones was refused for the commas of its text."""
    large = framed_with_a_quote("," * (3 * MAX_EVENT_VALUES))
    ends = [
        streams.converse("messageStop", stopReason="end_turn"),
        streams.converse("metadata", usage={"inputTokens": 5, "outputTokens": 3}),
    ]
    whole = b"".join([streams.converse("messageStart", role="assistant"), large, *ends])
    pieces = [whole[at : at + piece_bytes] for at in range(0, len(whole), piece_bytes)]
    async with (
        running_upstream(Answer(pieces, headers=[("content-type", "application/vnd.amazon.eventstream")])) as upstream,
        running_gateway(one_model({"kind": "bedrock", "base_url": upstream.url, "api_key": SECRET})) as gateway,
    ):
        events = events_of((await gateway.http.post("/v1/chat/completions", json=CHAT | {"stream": True})).content)
        assert "[DONE]" == events[-1]
        told = "".join(one["choices"][0]["delta"].get("content") or "" for one in events[:-1])
        assert 3 * MAX_EVENT_VALUES == told.count(",")


async def test_a_large_plain_answer_is_counted_without_what_its_texts_hold() -> None:
    text = '{"a": [1, 2], "b\\": "c"}\n' * 20_000
    async with (
        running_upstream(plain(said(text))) as upstream,
        running_gateway(one_model(gemini(upstream.url))) as gateway,
    ):
        answer = await gateway.http.post("/v1/chat/completions", json=CHAT)
        assert answer.json()["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_key_that_an_engine_escapes_is_hidden_where_its_answer_is_translated(path: str, streams: bool) -> None:
    text = json.dumps(said("the key @!")).replace("@", ESCAPED).encode()
    answer = (
        stream(b"data: " + text + b"\n\n") if streams else Answer([text], 200, [("content-type", "application/json")])
    )
    asked = CHAT | {"stream": streams, "max_tokens": 9}
    if path == "/v1/responses":
        asked = {"model": "chat", "input": "hello", "stream": streams}
    async with running_upstream(answer) as upstream, running_gateway(one_model(gemini(upstream.url))) as gateway:
        told = await gateway.http.post(path, json=asked)
        assert 200 == told.status_code
        assert b"the key ***!" in told.content
        assert SECRET.encode() not in told.content


async def test_an_error_that_names_an_escaped_key_is_told_without_it() -> None:
    text = json.dumps({"error": {"code": 400, "message": "no @!", "status": "X"}}).replace("@", ESCAPED).encode()
    begun = event(said("hello", finish=""))
    for answer in (stream(begun, b"data: " + text + b"\n\n"), stream(b"data: " + text + b"\n\n")):
        async with (
            running_upstream(answer) as upstream,
            running_gateway(one_model(gemini(upstream.url), retry={"max_attempts": 1})) as gateway,
        ):
            told = await gateway.http.post("/v1/chat/completions", json=CHAT | {"stream": True})
            assert b"no ***!" in told.content
            assert SECRET.encode() not in told.content


VECTORS = {"embeddings": [{"values": [1.0]}] * (LISTS_EACH * 1 + LEAST_LISTS)}


@pytest.mark.parametrize("blanks", [0, (WINDOWS_AT_ONCE + 1) * AT_ONCE_BYTES])
async def test_far_more_vectors_than_were_asked_for_are_counted_and_not_read(blanks: int) -> None:
    body = b" " * blanks + json.dumps(VECTORS).encode()
    async with (
        running_upstream(plain(body)) as upstream,
        running_gateway(one_model(gemini(upstream.url), retry={"max_attempts": 1})) as gateway,
    ):
        answer = await gateway.http.post("/v1/embeddings", json={"model": "chat", "input": ["a"]})
        assert (502, "engine_bad_answer") == (answer.status_code, answer.json()["error"]["code"])
        assert "far more" in (await gateway.records.of(0)).reason
