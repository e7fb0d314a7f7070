"""The official `openai` client's Azure flavour against the fake."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

USER: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
def classic(azure_url: str) -> AzureOpenAI:
    return AzureOpenAI(azure_endpoint=azure_url, api_key="key", api_version="2024-10-21", max_retries=0)


def test_the_deployment_in_the_path_is_the_model(classic: AzureOpenAI) -> None:
    answer = classic.chat.completions.create(model="mine", messages=USER)
    assert (answer.model, answer.choices[0].message.content) == ("mine", "You said: hi")
    assert len(classic.embeddings.create(model="mine", input="a", dimensions=4).data[0].embedding) == 4


def test_a_stream_begins_with_what_the_filters_found(classic: AzureOpenAI) -> None:
    chunks = list(classic.chat.completions.create(model="mine", messages=USER, stream=True))
    assert (chunks[0].choices, "prompt_filter_results" in (chunks[0].model_extra or {})) == ([], True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert (text, chunks[-1].choices[0].finish_reason) == ("You said: hi", "stop")


def test_a_token_of_entra_and_the_new_urls(azure_url: str) -> None:
    token = AzureOpenAI(
        azure_endpoint=azure_url, azure_ad_token_provider=lambda: "token", api_version="2024-10-21", max_retries=0
    )
    assert token.chat.completions.create(model="mine", messages=USER).choices
    new = OpenAI(base_url=f"{azure_url}/openai/v1/", api_key="token", max_retries=0)
    assert new.responses.create(model="mine", input="hi").output_text == "You said: hi"
    assert new.chat.completions.create(model="mine", messages=USER).model == "mine"


def test_what_filters_do(classic: AzureOpenAI) -> None:
    stopped = classic.chat.completions.create(model="d-fake-filtered", messages=USER)
    assert stopped.choices[0].finish_reason == "content_filter"
    with pytest.raises(openai.BadRequestError) as raised:
        classic.chat.completions.create(model="d-fake-blocked", messages=USER)
    assert raised.value.code == "content_filter"


def test_what_a_call_needs(azure_url: str, classic: AzureOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model does not exist"):
        classic.chat.completions.create(model="d-fake-no-model", messages=USER)
    other = AzureOpenAI(azure_endpoint=azure_url, api_key="key", api_version="nonsense", max_retries=0)
    with pytest.raises(openai.NotFoundError, match="api-version"):
        other.chat.completions.create(model="mine", messages=USER)
