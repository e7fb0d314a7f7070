"""What one client alone has a way to ask: sound, pictures, Azure's paths, rerank, and what errors can be found by."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import anthropic
import cohere
from openai import AzureOpenAI, OpenAI

from tests.clients.cases import PROMPT, raised

SOUND: Any = ("speech.wav", b"\1" * 48_000, "audio/wav")
PICTURE: Any = ("dawn.png", b"\x89PNG", "image/png")
MESSAGES: Any = [{"role": "user", "content": PROMPT}]


def _openai(url: str, key: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, timeout=30, max_retries=0)


def _azure(url: str, key: str) -> AzureOpenAI:
    return AzureOpenAI(azure_endpoint=url, api_key=key, api_version="2024-10-21", timeout=30, max_retries=0)


def openai_transcribes(url: str, key: str) -> None:
    assert _openai(url, key).audio.transcriptions.create(model="chat", file=SOUND).text.strip()


def openai_transcribes_to_text(url: str, key: str) -> None:
    told = _openai(url, key).audio.transcriptions.create(model="chat", file=SOUND, response_format="text")
    assert str(told).strip()


def openai_streams_a_transcription(url: str, key: str) -> None:
    with _openai(url, key).audio.transcriptions.create(model="chat", file=SOUND, stream=True) as events:
        said = [event.choices[0]["delta"]["content"] for event in events]  # type: ignore[union-attr]  # vLLM's chunks
    assert len(said) > 3


def openai_translates(url: str, key: str) -> None:
    assert _openai(url, key).audio.translations.create(model="chat", file=SOUND).text.strip()


def openai_hears_of_an_engine_that_failed(url: str, key: str) -> None:
    assert _openai(url, key).audio.transcriptions.create(model="flaky", file=SOUND).text.strip()
    told = raised(lambda: _openai(url, key).audio.transcriptions.create(model="limited", file=SOUND))
    assert getattr(told, "status_code", None) == 429


def openai_speaks(url: str, key: str) -> None:
    spoken = _openai(url, key).audio.speech.create(model="chat", voice="alloy", input="one two three")
    assert spoken.read().startswith(b"RIFF")


def openai_streams_speech(url: str, key: str) -> None:
    asked = _openai(url, key).audio.speech.with_streaming_response.create
    with asked(model="chat", voice="alloy", input="one two three", response_format="pcm") as spoken:
        assert sum(map(len, spoken.iter_bytes())) > 10_000


def openai_hears_that_speech_was_cut(url: str, key: str) -> None:
    raised(lambda: _openai(url, key).audio.speech.create(model="cut", voice="alloy", input="one two three").read())


def azure_lists_models(url: str, key: str) -> None:
    azure = _azure(url, key)
    assert {"chat", "flaky"} <= {model.id for model in azure.models.list()}
    assert azure.models.retrieve("chat").id == "chat"
    v1 = OpenAI(base_url=f"{url}/openai/v1/", api_key=key, default_query={"api-version": "preview"}, max_retries=0)
    assert {"chat", "flaky"} <= {model.id for model in v1.models.list()}


def azure_responds(url: str, key: str) -> None:
    assert _azure(url, key).responses.create(model="chat", input=PROMPT).output_text.strip()
    with _azure(url, key).responses.stream(model="chat", input=PROMPT) as events:
        assert len([event for event in events if event.type == "response.output_text.delta"]) > 3


def a_wrong_base_url_is_told_the_right_one(url: str, key: str) -> None:
    for wrong in (f"{url}/v1", f"{url}/v1/messages"):
        claude = anthropic.Anthropic(base_url=wrong, api_key=key, max_retries=0)
        told = raised(lambda: claude.messages.create(model="chat", max_tokens=9, messages=MESSAGES))  # noqa: B023 - at once
        assert f"it should be {url}'" in str(told).replace('"', "'"), told
    for wrong in (url, f"{url}/v1/v1", f"{url}/v1/chat/completions"):
        client = OpenAI(base_url=wrong, api_key=key, max_retries=0)
        told = raised(lambda: client.chat.completions.create(model="chat", messages=MESSAGES))  # noqa: B023 - at once
        assert f"it should be {url}/v1'" in str(told).replace('"', "'"), told


def openai_draws(url: str, key: str) -> None:
    drawn = _openai(url, key).images.generate(model="chat", prompt="a penstock", n=2)
    assert [base64.b64decode(one.b64_json or "")[:4] for one in drawn.data or ()] == [b"\x89PNG"] * 2
    assert drawn.usage is not None
    assert drawn.usage.output_tokens == 544


def openai_changes_a_picture(url: str, key: str) -> None:
    changed = _openai(url, key).images.edit(model="chat", prompt="at dusk", image=[PICTURE, PICTURE])
    assert changed.usage is not None
    assert changed.usage.input_tokens_details.image_tokens == 544


def azure_chats(url: str, key: str) -> None:
    assert _azure(url, key).chat.completions.create(model="chat", messages=MESSAGES).choices[0].message.content


def azure_transcribes(url: str, key: str) -> None:
    sound = io.BytesIO(SOUND[1])
    sound.name = "speech.wav"
    assert _azure(url, key).audio.transcriptions.create(model="chat", file=sound).text.strip()


def anthropic_is_told_which_request_it_was(url: str, key: str) -> None:
    client = anthropic.Anthropic(base_url=url, api_key=key, timeout=30, max_retries=0)
    answer = client.messages.create(model="chat", max_tokens=9, messages=MESSAGES)
    assert answer._request_id
    told = raised(lambda: client.messages.create(model="nope", max_tokens=9, messages=MESSAGES))
    assert getattr(told, "request_id", None)


def cohere_reranks(url: str, key: str) -> None:
    client = cohere.ClientV2(api_key=key, base_url=url, timeout=30)
    ranked = client.rerank(model="chat", query="water", documents=["a stone", "water"])
    assert [one.index for one in ranked.results] == [1, 0]


def openai_reads_how_long_a_prompt_may_be(url: str, key: str) -> None:
    model: Any = _openai(url, key).models.retrieve("chat")
    assert model.created > 1_700_000_000
    assert model.max_model_len > 0


ALONE: tuple[Callable[[str, str], None], ...] = (
    openai_transcribes,
    openai_transcribes_to_text,
    openai_streams_a_transcription,
    openai_translates,
    openai_hears_of_an_engine_that_failed,
    openai_speaks,
    openai_streams_speech,
    openai_hears_that_speech_was_cut,
    openai_draws,
    openai_changes_a_picture,
    openai_reads_how_long_a_prompt_may_be,
    azure_chats,
    azure_transcribes,
    azure_lists_models,
    azure_responds,
    a_wrong_base_url_is_told_the_right_one,
    anthropic_is_told_which_request_it_was,
    cohere_reranks,
)
