"""What real vLLM refuses, as the client sees it: vLLM's reason, in OpenAI's shape."""

from __future__ import annotations

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

pytestmark = pytest.mark.vllm

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
LONG: list[ChatCompletionMessageParam] = [{"role": "user", "content": "b " * 4100}]


def body_of(error: openai.APIStatusError) -> dict[str, object]:
    """The OpenAI error object, proven to be complete."""
    assert isinstance(error.body, dict)
    assert {"message", "type", "param", "code"} <= set(error.body)
    return error.body


def test_what_the_model_cannot_do_is_a_clear_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as failed:
        client.embeddings.create(model="tiny", input="hello", encoding_format="float")
    assert failed.value.status_code in {400, 404}
    message = str(body_of(failed.value)["message"])
    assert "tiny" in message
    assert "embeddings" in message


@pytest.mark.parametrize("stream", [False, True])
def test_vllms_reason_for_a_prompt_too_long_passes_through(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as failed:
        client.chat.completions.create(model="tiny", messages=LONG, stream=stream)
    assert str(body_of(failed.value)["message"]).startswith("This model's maximum context length is 4096 tokens.")


def test_a_prompt_too_long_for_responses_is_a_400(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 4096 tokens"):
        client.responses.create(model="tiny", input="b " * 4100)


def test_a_prompt_too_long_for_messages_is_a_400_in_anthropics_shape(claude_client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as failed:
        claude_client.messages.create(model="tiny", max_tokens=4, messages=[{"role": "user", "content": "b " * 4100}])
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["type"] == "error"
    assert "maximum context length is 4096 tokens" in failed.value.body["error"]["message"]


def test_a_parameter_out_of_range_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as failed:
        client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=50_000)
    assert body_of(failed.value)["param"] == "max_tokens"


def test_an_unknown_model_is_answered_with_the_known_one(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as failed:
        client.chat.completions.create(model="tinny", messages=HELLO)
    assert body_of(failed.value)["code"] == "model_not_found"
    assert "tiny" in str(body_of(failed.value)["message"])


def test_a_wrong_key_never_reaches_vllm(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").chat.completions.create(model="tiny", messages=HELLO)
