"""Sound and pictures as the simulator hears, speaks and draws them."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import httpx
import pytest

from tests.engines.simulator.conftest import simulator
from tests.scenario.gateway import events_of

pytestmark = pytest.mark.anyio
SOUND = {"file": ("speech.wav", b"\1" * 48_000, "audio/wav")}


async def hear(client: httpx.AsyncClient, **said: str) -> httpx.Response:
    return await client.post("/v1/audio/transcriptions", data=said, files=SOUND)


async def test_a_sound_is_heard_in_each_form_and_told_in_seconds() -> None:
    async with simulator(mode="echo") as client:
        plain, whole, text = [await hear(client, response_format=form) for form in ("json", "verbose_json", "text")]
    said = "A sound of 3 s and 48000 bytes."
    assert {"text": said, "usage": {"type": "duration", "seconds": 3}} == plain.json()
    assert (said, 3) == (whole.json()["text"], whole.json()["duration"])
    assert ("text/plain; charset=utf-8", said) == (text.headers["content-type"], text.text)


async def test_a_streamed_transcription_is_chunks_and_tells_its_tokens_where_asked_to() -> None:
    async with simulator(mode="echo") as client:
        answer = await hear(client, stream="true", stream_include_usage="true")
    events = events_of(answer.content)
    assert "[DONE]" == events[-1]
    assert 30 == events[-2]["usage"]["prompt_tokens"]
    assert "stop" == events[-3]["choices"][0]["finish_reason"]
    said = "".join(event["choices"][0]["delta"]["content"] for event in events[:-2])
    assert "A sound of 3 s and 48000 bytes." == said


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"data": {"model": "x"}}, "cannot be read"),
        ({"files": {"other": b"x"}}, "file is missing"),
        ({"data": {"response_format": "srt"}, "files": SOUND}, "not srt"),
        ({"data": {"model": "nope"}, "files": SOUND}, "`nope` does not exist"),
    ],
)
async def test_a_form_that_cannot_be_served_is_refused(said: dict[str, Any], message: str) -> None:
    async with simulator(mode="echo") as client:
        answer = await client.post("/v1/audio/transcriptions", **said)
    assert answer.status_code == (404 if "nope" in message else 400)
    assert message in answer.json()["error"]["message"]


async def test_a_text_is_spoken_as_a_tone_of_its_length() -> None:
    async with simulator(mode="echo") as client:
        answer = await client.post("/v1/audio/speech", json={"input": "one two three", "voice": "alloy"})
        raw = await client.post("/v1/audio/speech", json={"input": "one two three", "response_format": "pcm"})
        wrong = await client.post("/v1/audio/speech", json={"input": "one", "response_format": "midi"})
    assert "audio/wav" == answer.headers["content-type"]
    with wave.open(io.BytesIO(answer.content)) as sound:
        assert (1, 2, 24_000) == (sound.getnchannels(), sound.getsampwidth(), sound.getframerate())
        assert sound.getnframes() * 2 == len(raw.content) > 0
    assert ("audio/pcm", 400) == (raw.headers["content-type"], wrong.status_code)


async def test_pictures_are_drawn_and_changed() -> None:
    async with simulator(mode="echo") as client:
        drawn = await client.post("/v1/images/generations", json={"prompt": "a dam", "n": 2})
        changed = await client.post("/v1/images/edits", data={"prompt": "a dam"}, files={"image": ("a.png", b"x")})
        wrong = await client.post("/v1/images/edits", data={"prompt": "a dam"}, files={"mask": ("a.png", b"x")})
        many = await client.post("/v1/images/generations", json={"prompt": "a dam", "n": 11})
    assert [b"\x89PNG"] * 2 == [base64.b64decode(one["b64_json"])[:4] for one in drawn.json()["data"]]
    assert (0, 272) == tuple(
        answer.json()["usage"]["input_tokens_details"]["image_tokens"] for answer in (drawn, changed)
    )
    assert [400, 400] == [wrong.status_code, many.status_code]
