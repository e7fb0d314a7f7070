"""Sound and pictures: forms that go up with another model's name in them, and answers that pass as they come."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from engines.multipart import boundary_of, parts_of
from tests.scenario.gateway import AUTH, Gateway, events_of, one_model, running_gateway
from tests.scenario.upstream import Answer, End, Received, running_upstream

pytestmark = pytest.mark.anyio

SOUND = bytes(range(256)) * 300
FILE = {"file": ("speech.wav", SOUND, "audio/wav")}
TOLD = {
    "text": "hello",
    "usage": {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 2, "audio_tokens": 12},
        "output_tokens": 45,
        "total_tokens": 59,
    },
}
SSE = (("content-type", "text/event-stream"),)
TRANSCRIBE = "/v1/audio/transcriptions"


def document(body: Any) -> Answer:
    return Answer((json.dumps(body).encode(),))


def events(*said: dict[str, Any]) -> bytes:
    return b"".join([b"data: " + json.dumps(one).encode() + b"\n\n" for one in said])


def fields(received: Received) -> dict[str, bytes]:
    boundary = boundary_of((received.header("content-type") or "").encode())
    return {part.name: received.body[part.start : part.end] for part in parts_of(received.body, boundary)}


async def transcribe(gateway: Gateway, path: str = TRANSCRIBE, **said: str) -> httpx.Response:
    return await gateway.http.post(path, data={"model": "chat", **said}, files=FILE)


async def test_a_form_goes_up_under_the_targets_name_and_is_otherwise_the_same() -> None:
    async with running_upstream(document(TOLD)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await transcribe(gateway, language="en")
        record = await gateway.records.of()
        metrics = await gateway.metrics()
    sent = upstream.received[0]
    assert {"model": b"upstream-model", "language": b"en", "file": SOUND} == fields(sent)
    assert ("POST", TRANSCRIBE) == (sent.method, sent.path)
    assert (200, TOLD, "a") == (answer.status_code, answer.json(), answer.headers["x-penstock-engine"])
    assert (14, 45, "reported") == (record.input_tokens, record.output_tokens, record.usage_source)
    assert TRANSCRIBE == record.operation
    assert 45 == metrics.value("penstock_tokens_total", model="chat", kind="output")


async def test_a_form_whose_model_needs_no_change_goes_up_byte_for_byte() -> None:
    async with running_upstream(document(TOLD)) as upstream:
        config = one_model(upstream.url)
        config["models"]["chat"]["targets"] = [{"engine": "a"}]
        async with running_gateway(config) as gateway:
            answer = await transcribe(gateway)
    assert answer.request.read() == upstream.received[0].body
    assert answer.request.headers["content-type"] == upstream.received[0].header("content-type")


async def test_an_engine_that_fails_is_replaced_by_the_next_with_the_whole_form() -> None:
    async with running_upstream(Answer(status=500)) as first, running_upstream(document(TOLD)) as second:
        async with running_gateway(one_model(first.url, second.url)) as gateway:
            answer = await transcribe(gateway)
    assert (200, "2") == (answer.status_code, answer.headers["x-penstock-attempts"])
    assert [SOUND, SOUND] == [fields(each.received[0])["file"] for each in (first, second)]


async def test_a_subtitle_passes_as_it_is() -> None:
    told = Answer((b'1\n00:00 --> 00:01\n"error" in "usage"\n',), headers=(("content-type", "text/plain"),))
    async with running_upstream(told) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await transcribe(gateway, response_format="srt")
        record = await gateway.records.of()
    assert ("text/plain", told.pieces[0]) == (answer.headers["content-type"], answer.content)
    assert record.input_tokens is None


OPENAIS = (
    {"type": "transcript.text.delta", "delta": "hel"},
    {"type": "transcript.text.delta", "delta": "lo"},
    {"type": "transcript.text.done", **TOLD},
)
VLLMS = (
    {"object": "transcription.chunk", "choices": [{"delta": {"content": "hel"}}]},
    {"object": "transcription.chunk", "choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]},
    {"object": "transcription.chunk", "choices": [{"delta": {"content": "lo"}}]},
    {"object": "transcription.chunk", "choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]},
)


async def test_a_streamed_transcription_ends_with_its_last_event() -> None:
    told = Answer((events(*OPENAIS),), headers=SSE)
    async with running_upstream(told) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await transcribe(gateway, stream="true")
        record = await gateway.records.of()
    assert list(OPENAIS) == events_of(answer.content)
    assert (14, 45, "stop") == (record.input_tokens, record.output_tokens, record.finish_reason)


async def test_vllm_streams_one_as_chunks_with_a_reason_for_each_piece_of_the_sound() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}}
    whole = events(*VLLMS, usage) + b"data: [DONE]\n\n"
    cut = Answer((events(*VLLMS[:2]), End.RESET), headers=SSE)
    async with running_upstream(Answer((whole,), headers=SSE)) as upstream:
        upstream.then(Answer((whole,), headers=SSE), cut)
        async with running_gateway(one_model(upstream.url)) as gateway:
            answer = await transcribe(gateway, stream="true")
            record = await gateway.records.of()
            half = await transcribe(gateway, stream="true")
    assert whole == answer.content
    assert (20, 2) == (record.input_tokens, record.output_tokens)
    assert "error" in events_of(half.content)[-1]


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_transcription_that_is_cut_does_not_look_whole(end: End) -> None:
    told = Answer((events(*OPENAIS[:2]), end), headers=SSE)
    async with running_upstream(told) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await transcribe(gateway, stream="true")
    assert "engine" in events_of(answer.content)[-1]["error"]["message"]


async def test_speech_passes_as_it_comes() -> None:
    gate = asyncio.Event()
    told = Answer((b"RIFF first", gate, b"second"), headers=(("content-type", "audio/wav"),))
    asked = {"model": "chat", "input": "hello", "voice": "alloy"}
    async with running_upstream(told) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with gateway.http.stream("POST", "/v1/audio/speech", json=asked) as answer:
            pieces = answer.aiter_raw()
            assert b"RIFF first" == await anext(pieces)
            gate.set()
            assert b"second" == b"".join([piece async for piece in pieces])
        record = await gateway.records.of()
    assert ("audio/wav", "a") == (answer.headers["content-type"], answer.headers["x-penstock-engine"])
    assert {**asked, "model": "upstream-model"} == upstream.received[0].json
    assert (200, None) == (record.status, record.output_tokens)


async def test_speech_that_breaks_off_is_cut_and_one_that_never_began_is_tried_again() -> None:
    sound = (("content-type", "audio/mpeg"),)
    async with running_upstream(Answer((b"a sound", End.RESET), headers=sound)) as upstream:
        upstream.then(Answer((End.RESET,), headers=sound), Answer((b"whole",), headers=sound))
        config = one_model(upstream.url, retry={"after_send": True, "base_backoff_s": 0.001})
        async with running_gateway(config) as gateway:
            asked = {"model": "chat", "input": "hello", "voice": "alloy"}
            again = await gateway.http.post("/v1/audio/speech", json=asked)
            with pytest.raises(httpx.RemoteProtocolError):
                await gateway.http.post("/v1/audio/speech", json=asked)
            record = await gateway.records.of(1)
    assert (b"whole", "2") == (again.content, again.headers["x-penstock-attempts"])
    assert record.error != ""


async def test_an_error_in_the_place_of_a_sound_is_a_failed_attempt() -> None:
    wrong = Answer((b'{"error": {"message": "no voice", "type": "x", "code": 503}}',))
    async with running_upstream(wrong) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.http.post("/v1/audio/speech", json={"model": "chat", "input": "hello"})
    assert (503, "no voice") == (answer.status_code, answer.json()["error"]["message"])


async def test_speech_as_events_tells_its_usage() -> None:
    said = (
        {"type": "speech.audio.delta", "audio": "UklGRg=="},
        {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}},
    )
    asked = {"model": "chat", "input": "hello", "voice": "alloy", "stream_format": "sse"}
    told = Answer((events(*said),), headers=SSE)
    async with running_upstream(told) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.http.post("/v1/audio/speech", json=asked)
        record = await gateway.records.of()
    assert list(said) == events_of(answer.content)
    assert (3, 9) == (record.input_tokens, record.output_tokens)


async def test_pictures_tell_their_usage_behind_megabytes() -> None:
    usage = {"input_tokens": 5, "output_tokens": 272, "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}
    told = {"created": 1, "data": [{"b64_json": "A" * 2_000_000}], "usage": usage}
    async with running_upstream(document(told)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        made = await gateway.http.post("/v1/images/generations", json={"model": "chat", "prompt": "a dam"})
        changed = await gateway.http.post(
            "/v1/images/edits", data={"model": "chat", "prompt": "at dusk"}, files={"image": ("a.png", b"x")}
        )
        records = [await gateway.records.of(number) for number in range(2)]
    assert [told, told] == [made.json(), changed.json()]
    assert [(5, 272)] * 2 == [(record.input_tokens, record.output_tokens) for record in records]


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ({"data": {"model": "chat"}}, "invalid_form", "content-type should be multipart/form-data"),
        ({"data": {}, "files": FILE}, "invalid_value", "`model` is missing"),
        ({"data": {"model": ["chat", "chat"]}, "files": FILE}, "duplicate_model", "more than once"),
        (
            {"data": {"model": "chat"}, "files": [*FILE.items(), ("model", ("a", b"other"))]},
            "invalid_form",
            "'model' should have no file name",
        ),
        ({"data": {"model": "chat"}, "files": [("stream", ("a", b"true"))]}, "invalid_form", "'stream' should have no"),
        (
            {"data": {"model": "chat", "stream": ["no", "true, or so"]}, "files": FILE},
            "invalid_form",
            "'stream' is given",
        ),
        ({"data": {"model": "nope"}, "files": FILE}, "model_not_found", "'nope' does not exist"),
        ({"json": {"model": "chat"}}, "invalid_form", "content-type should be multipart/form-data"),
    ],
)
async def test_what_is_no_form_of_a_known_model_is_told(said: dict[str, Any], code: str, message: str) -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.http.post(TRANSCRIBE, **said)
    assert answer.status_code == (404 if code == "model_not_found" else 400)
    assert code == answer.json()["error"]["code"]
    assert message in answer.json()["error"]["message"]
    assert [] == upstream.received


async def test_a_form_over_the_limit_is_refused_before_it_is_there() -> None:
    async with running_upstream() as upstream:
        async with running_gateway(one_model(upstream.url, limits={"body_bytes": "64 KiB"})) as gateway:
            answer = await transcribe(gateway)
    assert (413, "request_too_large") == (answer.status_code, answer.json()["error"]["code"])


async def test_azures_paths_name_the_model_of_a_form() -> None:
    path = "/openai/deployments/chat/audio/transcriptions?api-version=2024-10-21"
    async with running_upstream(document(TOLD)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        without = await gateway.http.post(path, files=FILE)
        other = await gateway.http.post(path, data={"model": "gpt-4o-transcribe"}, files=FILE)
    assert [200, 200] == [without.status_code, other.status_code]
    assert [{"model": b"upstream-model", "file": SOUND}] * 2 == [fields(each) for each in upstream.received]


async def test_only_models_of_the_key_may_be_asked_in_a_form() -> None:
    keys = [{**AUTH["keys"][0], "models": ["other"]}]
    async with running_upstream(document(TOLD)) as upstream:
        config = one_model(upstream.url)
        config["models"]["other"] = config["models"]["chat"]
        async with running_gateway({**config, "auth": {"keys": keys}}) as gateway:
            answer = await transcribe(gateway)
    assert (403, []) == (answer.status_code, upstream.received)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/problem+json", b'{"title":"no voice","error":{"message":"no voice"}}'),
        ("Application/Problem+JSON; charset=utf-8", b'{"title":"no voice","error":{"message":"no voice"}}'),
        ("application/json", b'{"error":{"message":"no voice"}}'),
        ("audio/mpeg", b""),
    ],
)
async def test_what_is_no_sound_is_a_failed_attempt_and_the_next_is_asked(media_type: str, body: bytes) -> None:
    none = Answer([body] if body else [], 200, [("content-type", media_type)], length=len(body))
    sound = Answer([SOUND], 200, [("content-type", "audio/mpeg")])
    async with running_upstream(none) as first, running_upstream(sound) as second:
        async with running_gateway(one_model(first.url, second.url)) as gateway:
            answer = await gateway.http.post("/v1/audio/speech", json={"model": "chat", "input": "hello"})
            assert (200, SOUND) == (answer.status_code, answer.content)
            assert (1, 1) == (len(first.received), len(second.received))
