"""The Anthropic SDK against real vLLM's /v1/messages through the gateway, with the key as `x-api-key`."""

from __future__ import annotations

import anthropic
import pytest
from anthropic.types import MessageParam

pytestmark = pytest.mark.vllm

HELLO: list[MessageParam] = [{"role": "user", "content": "hello"}]


def test_messages(claude_client: anthropic.Anthropic) -> None:
    answer = claude_client.messages.create(model="tiny", max_tokens=5, messages=HELLO, extra_body={"temperature": 0})
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "max_tokens")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 5)


def test_streamed_messages(claude_client: anthropic.Anthropic) -> None:
    with claude_client.messages.stream(
        model="tiny", max_tokens=5, messages=HELLO, extra_body={"temperature": 0}
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    (block,) = message.content
    assert block.type == "text"
    assert text == block.text
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 5


def test_the_raw_stream_ends_with_message_stop(claude_client: anthropic.Anthropic) -> None:
    with claude_client.messages.create(model="tiny", max_tokens=5, messages=HELLO, stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
