"""What a client sees of a stream: whole events as they came, and never a success that the engine did not claim."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.scenario.gateway import HELLO, LONGEST_S, events_of, one_model, running_gateway
from tests.scenario.upstream import (
    DONE,
    USAGE,
    WORDS,
    Answer,
    End,
    Piece,
    chunk,
    event,
    running_upstream,
    stream,
    usage_event,
)

pytestmark = pytest.mark.anyio

FINISH = chunk(finish_reason="stop")
ENGINE_ERROR = event({"error": {"message": "the engine broke", "type": "InternalServerError", "code": 500}})


async def streamed(*pieces: Piece, **fields: Any) -> tuple[bytes, Any]:
    """What the client got of these pieces, and the request's record."""
    async with running_upstream(stream(*pieces)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await gateway.chat(stream=True, **fields)
            assert 200 == answer.status_code
            assert "text/event-stream" == answer.headers["content-type"]
            return answer.content, await gateway.records.of()


async def test_events_pass_as_they_came_but_for_the_usage_nobody_asked_for() -> None:
    got, record = await streamed(*WORDS, FINISH, usage_event(), DONE)
    assert b"".join([*WORDS, FINISH, DONE]) == got
    assert ("stop", 7, 3, "reported", "") == (
        record.finish_reason,
        record.input_tokens,
        record.output_tokens,
        record.usage_source,
        record.error,
    )


async def test_usage_passes_when_asked_for() -> None:
    got, _ = await streamed(*WORDS, FINISH, usage_event(), DONE, stream_options={"include_usage": True})
    assert b"".join([*WORDS, FINISH, usage_event(), DONE]) == got


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"continuous_usage_stats": True}])
async def test_usage_is_always_asked_for_upstream(options: dict[str, bool] | None) -> None:
    async with running_upstream(stream()) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            await gateway.chat(stream=True, stream_options=options)
    assert {**(options or {}), "include_usage": True} == upstream.received[0].json["stream_options"]


async def test_usage_with_every_chunk_passes_and_the_last_one_counts() -> None:
    counts = [{"prompt_tokens": 7, "completion_tokens": n, "total_tokens": 7 + n} for n in (1, 2, 3)]
    words = [chunk("word ", usage=usage) for usage in counts]
    options = {"include_usage": True, "continuous_usage_stats": True}
    got, record = await streamed(*words, FINISH, usage_event(), DONE, stream_options=options)
    assert b"".join([*words, FINISH, usage_event(), DONE]) == got
    assert (7, 3) == (record.input_tokens, record.output_tokens)


async def test_comments_and_unknown_events_pass() -> None:
    odd = [b": keep-alive\n\n", b"event: ping\ndata: {}\n\n", b"retry: 5\n\n"]
    got, _ = await streamed(odd[0], WORDS[0], *odd[1:], FINISH, DONE)
    assert b"".join([odd[0], WORDS[0], *odd[1:], FINISH, DONE]) == got


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_events_pass_whole_however_they_were_cut_up(size: int) -> None:
    whole = b"".join([*WORDS, FINISH, usage_event(), DONE])
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    got, record = await streamed(*pieces)
    assert b"".join([*WORDS, FINISH, DONE]) == got
    assert 3 == record.output_tokens


async def test_events_with_crlf_pass_as_they_came() -> None:
    events = [part.replace(b"\n", b"\r\n") for part in (*WORDS, FINISH, DONE)]
    got, record = await streamed(*events)
    assert b"".join(events) == got
    assert ("stop", "") == (record.finish_reason, record.error)


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_kill_in_the_middle_is_told_inside_the_stream_and_claims_no_success(end: End) -> None:
    gate = asyncio.Event()
    async with running_upstream(stream(*WORDS[:2], WORDS[2][:20], gate, end)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            body = {"model": "chat", "messages": HELLO, "stream": True}
            async with gateway.http.stream("POST", "/v1/chat/completions", json=body) as answer:
                lines = answer.aiter_lines()
                before = [await anext(lines), await anext(lines), await anext(lines)]
                gate.set()
                rest = [line async for line in lines]
            record = await gateway.records.of()
            metrics = await gateway.metrics()
    got = events_of("\n".join([*before, *rest]))
    assert ["three ", "little "] == [one["choices"][0]["delta"]["content"] for one in got[:2]]
    (last,) = got[2:]
    assert ("server_error", "engine_answer_truncated") == (last["error"]["type"], last["error"]["code"])
    assert "'chat'" in last["error"]["message"]
    assert (200, "answer_truncated") == (record.status, record.error)
    assert 1 == metrics.value("penstock_errors_total", kind="answer_truncated", engine="a")


async def test_broken_streams_open_the_breaker() -> None:
    async with running_upstream(stream(*WORDS, End.CLOSE)) as upstream, running_upstream() as other:
        async with running_gateway(one_model(upstream.url, other.url, breaker={"min_failures": 2})) as gateway:
            for _ in range(2):
                await gateway.chat(stream=True)
            metrics = await gateway.metrics()
    assert 1 == metrics.value("penstock_breaker_open", engine="a")


async def test_the_engines_own_error_passes_and_its_done_does_not() -> None:
    got, record = await streamed(*WORDS, ENGINE_ERROR, DONE)
    assert b"".join([*WORDS, ENGINE_ERROR]) == got
    assert ("engine_error", "") == (record.error, record.finish_reason)


async def test_an_error_and_done_in_one_read_are_told_apart() -> None:
    got, _ = await streamed(WORDS[0] + ENGINE_ERROR + DONE)
    assert WORDS[0] + ENGINE_ERROR == got


async def gone_on(path: str, *pieces: Piece) -> tuple[bytes, Any]:
    """What the client got of an engine that would not have ended, and was cut off; and the request's record."""
    body = {"model": "chat", "max_tokens": 9, "stream": True, "messages": HELLO, "input": "hi"}
    async with running_upstream(stream(*pieces, End.HANG)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            got = (await gateway.http.post(path, json=body)).content
            await asyncio.wait_for(upstream.received[0].gone.wait(), LONGEST_S)
            return got, await gateway.records.of()


async def test_an_engine_that_goes_on_after_its_error_is_stopped() -> None:
    got, record = await gone_on("/v1/chat/completions", *WORDS, ENGINE_ERROR, usage_event(), *WORDS)
    assert b"".join([*WORDS, ENGINE_ERROR]) == got
    # Three words, and the one that it was stopped at: it was made, and is paid for.
    assert ("engine_error", 7, 4) == (record.error, record.input_tokens, record.output_tokens)


async def test_an_error_and_more_content_in_one_read_are_told_apart() -> None:
    got, record = await gone_on("/v1/chat/completions", WORDS[0] + ENGINE_ERROR + WORDS[1])
    assert WORDS[0] + ENGINE_ERROR == got
    assert "engine_error" == record.error


async def test_comments_after_an_error_are_not_more_of_the_answer() -> None:
    got, record = await streamed(*WORDS, ENGINE_ERROR, b": still here\n\n", usage_event())
    assert b"".join([*WORDS, ENGINE_ERROR, b": still here\n\n"]) == got
    assert ("engine_error", 7, 3) == (record.error, record.input_tokens, record.output_tokens)


@pytest.mark.parametrize("end", [[], [DONE], [usage_event(), DONE]])
async def test_a_stream_without_finish_reason_ends_in_an_error(end: list[bytes]) -> None:
    got, record = await streamed(*WORDS, *end)
    *words, last = events_of(got)
    assert 3 == len(words)
    assert "engine_answer_truncated" == last["error"]["code"]
    assert "no_finish_reason" == record.error


async def test_a_missing_done_is_added_when_the_engine_gave_a_finish_reason() -> None:
    got, record = await streamed(*WORDS, FINISH)
    assert b"".join([*WORDS, FINISH, DONE]) == got
    assert "" == record.error


async def test_a_close_after_the_finish_reason_loses_nothing() -> None:
    got, record = await streamed(*WORDS, FINISH, usage_event(), End.CLOSE)
    assert b"".join([*WORDS, FINISH, DONE]) == got
    assert ("", 3) == (record.error, record.output_tokens)


def of_two(index: int, finish_reason: str | None = None) -> bytes:
    """A chunk of one of two choices."""
    return chunk(choices=[{"index": index, "delta": {}, "finish_reason": finish_reason}])


@pytest.mark.parametrize(("end", "error"), [([], "no_finish_reason"), ([End.CLOSE], "answer_truncated")])
async def test_a_break_before_the_last_of_several_choices_has_finished_claims_no_success(
    end: list[Piece], error: str
) -> None:
    got, record = await streamed(of_two(0), of_two(1), of_two(1, "stop"), of_two(0), *end, n=2)
    *before, last = events_of(got)
    assert 4 == len(before)
    assert "engine_answer_truncated" == last["error"]["code"]
    assert error == record.error


@pytest.mark.parametrize("end", [[], [End.CLOSE]])
async def test_a_break_after_the_last_of_several_choices_has_finished_loses_nothing(end: list[Piece]) -> None:
    events = [of_two(0), of_two(1), of_two(1, "stop"), of_two(0), of_two(0, "length")]
    got, record = await streamed(*events, *end, n=2)
    assert b"".join([*events, DONE]) == got
    assert "" == record.error


async def test_an_engine_that_gives_fewer_choices_than_asked_for_may_still_end_its_stream() -> None:
    got, record = await streamed(*WORDS, FINISH, DONE, End.CLOSE, n=2)
    assert b"".join([*WORDS, FINISH, DONE]) == got
    assert "" == record.error


async def test_a_last_event_without_its_blank_line_still_counts() -> None:
    got, _ = await streamed(*WORDS, FINISH, DONE.rstrip())
    assert b"".join([*WORDS, FINISH, DONE]) == got


async def test_a_body_ended_by_close_is_whole() -> None:
    class Raw(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            body = b"".join([*WORDS, FINISH, DONE])
            head = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
            self.transport.write(head + body)  # type: ignore[attr-defined]
            self.transport.close()

    server = await asyncio.get_running_loop().create_server(Raw, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, running_gateway(one_model({"kind": "openai", "base_url": url})) as gateway:
        answer = await gateway.chat(stream=True)
    assert b"".join([*WORDS, FINISH, DONE]) == answer.content


async def test_an_error_as_the_first_event_is_an_http_error() -> None:
    async with running_upstream(stream(ENGINE_ERROR, DONE)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await gateway.chat(stream=True)
            record = await gateway.records.of()
    assert (500, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert "the engine broke" == answer.json()["error"]["message"]
    assert (500, "engine_500") == (record.status, record.error)


async def test_an_event_without_end_is_an_error_and_not_a_growing_buffer() -> None:
    endless: list[Piece] = [WORDS[0], b"data: ", *[b"x" * 1_000_000] * 9, End.HANG]
    got, record = await streamed(*endless)
    _, last = events_of(got)
    assert "engine_answer_truncated" == last["error"]["code"]
    assert "answer_truncated" == record.error


async def test_a_stream_of_stated_length_is_read_like_any_other() -> None:
    body = b"".join([*WORDS, FINISH, DONE])
    answer = Answer([body], headers=[("content-type", "text/event-stream; charset=utf-8")], length=len(body))
    async with running_upstream(answer) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        got = await gateway.chat(stream=True)
    assert body == got.content


async def test_a_plain_answer_to_a_streamed_request_passes_as_it_is() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.chat(stream=True)
        record = await gateway.records.of()
    assert "application/json" == answer.headers["content-type"]
    assert USAGE == answer.json()["usage"]
    assert ("stop", 3) == (record.finish_reason, record.output_tokens)


async def test_completions_streams_follow_the_same_rules() -> None:
    text = event({"object": "text_completion", "choices": [{"index": 0, "text": "hi", "finish_reason": None}]})
    end = event({"object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
    async with running_upstream(stream(text, end, usage_event(), DONE)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            body = {"model": "chat", "prompt": "hello", "stream": True}
            answer = await gateway.http.post("/v1/completions", json=body)
            record = await gateway.records.of()
    assert text + end + DONE == answer.content
    assert "/v1/completions" == upstream.received[0].path
    assert {"include_usage": True} == upstream.received[0].json["stream_options"]
    assert ("length", 3, "/v1/completions") == (record.finish_reason, record.output_tokens, record.operation)


MESSAGE_START = event({"type": "message_start", "message": {"usage": {"input_tokens": 7}}}, "message_start")
MESSAGE_TEXT = event({"type": "content_block_delta", "delta": {"text": "hi"}}, "content_block_delta")
MESSAGE_DELTA = event(
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}, "message_delta"
)
MESSAGE_STOP = event({"type": "message_stop"}, "message_stop")
RESPONSE_TEXT = event({"type": "response.output_text.delta", "delta": "hi"}, "response.output_text.delta")
RESPONSE_COMPLETED = event(
    {
        "type": "response.completed",
        "response": {"status": "completed", "usage": {"input_tokens": 7, "output_tokens": 3}},
    },
    "response.completed",
)


BROKEN = {"message": "the engine broke", "type": "api_error"}
MESSAGE_ERROR = event({"type": "error", "error": BROKEN}, "error")
RESPONSE_ERROR = event({"type": "error", "code": "server_error", "message": "the engine broke", "param": None}, "error")


@pytest.mark.parametrize(
    ("path", "told", "more"),
    [
        ("/v1/messages", [MESSAGE_START, MESSAGE_TEXT, MESSAGE_ERROR], MESSAGE_TEXT),
        ("/v1/responses", [RESPONSE_TEXT, RESPONSE_ERROR], RESPONSE_TEXT),
    ],
)
async def test_an_engine_of_each_format_is_stopped_after_its_error(path: str, told: list[bytes], more: bytes) -> None:
    got, record = await gone_on(path, *told, more)
    assert (len(told), "engine_error") == (got.count(b"event: "), record.error)
    assert b"".join(told[:-1]) == got[: len(b"".join(told[:-1]))]
    assert b"the engine broke" in got


@pytest.mark.parametrize(
    ("path", "events"),
    [
        ("/v1/messages", [MESSAGE_START, MESSAGE_TEXT, MESSAGE_DELTA, MESSAGE_STOP]),
        ("/v1/responses", [RESPONSE_TEXT, RESPONSE_COMPLETED]),
    ],
)
async def test_each_format_ends_in_its_own_way_and_its_usage_is_read(path: str, events: list[bytes]) -> None:
    async with running_upstream(stream(*events)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.http.post(path, json={"model": "chat", "stream": True})
        record = await gateway.records.of()
    assert b"".join(events) == answer.content
    assert "stream_options" not in upstream.received[0].json
    assert ("stop", 7, 3, "") == (record.finish_reason, record.input_tokens, record.output_tokens, record.error)


@pytest.mark.parametrize(
    ("path", "events", "kind"),
    [
        ("/v1/messages", [MESSAGE_START, MESSAGE_TEXT], "error"),
        ("/v1/responses", [RESPONSE_TEXT], "error"),
    ],
)
async def test_each_format_says_in_its_own_way_that_the_stream_broke(path: str, events: list[bytes], kind: str) -> None:
    async with running_upstream(stream(*events, End.CLOSE)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await gateway.http.post(path, json={"model": "chat", "stream": True})
            record = await gateway.records.of()
    assert answer.content.startswith(b"".join(events))
    last = answer.content.removeprefix(b"".join(events))
    assert last.startswith(b"event: error\n")
    assert kind == events_of(last)[0]["type"]
    assert "answer_truncated" == record.error
