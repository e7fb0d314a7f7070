"""What a client joined from an answer, plain or streamed, is what it sends in its next turn: no provider refuses it.

The official clients join the streams, and the fakes refuse what the real ones would: a thought whose signature does not
fit its text, a call whose signature is missing, a result without its call.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenario.gateway import Gateway
from tests.scenario.test_every_provider import MODELS, SCHEMA, THINKERS, chats, everybody, messages, tool

pytestmark = pytest.mark.anyio

WAYS = ("plain", "streamed")
ASKED = "weather and weather"
SIGNED = ("anthropic", "bedrock", "gemini")
"""Their models want back what they have thought."""


def models_of(name: str) -> list[str]:
    """With one thought, and, of those who reason, with two and a text between them."""
    return [name, f"{name}-interleaved"] if name in THINKERS else [name]


CASES = [(name, model, way) for name in MODELS for model in models_of(name) for way in WAYS]


async def chatted(
    gateway: Gateway, name: str, model: str, way: str, wish: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """The assistant's message of a first turn, and the answer to the second."""
    async with chats(gateway) as client:
        said: Any = [{"role": "user", "content": ASKED}]
        if way == "plain":
            first = (await client.chat.completions.create(model=model, messages=said, **wish)).choices[0].message
        else:
            async with client.chat.completions.stream(model=model, messages=said, **wish) as stream:
                first = (await stream.get_final_completion()).choices[0].message
        told = first.to_dict()
        said.append(told)
        calls: Any = first.tool_calls
        said += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
        second = await client.chat.completions.create(model=name, messages=said, **wish)
        return told, second.choices[0].message.content


@pytest.mark.parametrize(("name", "model", "way"), [case for case in CASES if case[0] != "openai"])
async def test_the_second_turn_of_a_chat_is_answered(name: str, model: str, way: str) -> None:
    wish: dict[str, Any] = {"tools": [tool("weather")]}
    if name in THINKERS:
        wish["reasoning_effort"] = "high"
    async with everybody(name) as gateway:
        told, answer = await chatted(gateway, name, model, way, wish)
    assert "sunny" in str(answer)
    assert (name in THINKERS) == bool(told.get("reasoning_content"))
    if name in ("anthropic", "bedrock"):
        blocks: Any = told["thinking_blocks"]
        assert [name != model] == list({len(blocks) > 1})
        assert told["reasoning_content"] == "".join(block["thinking"] for block in blocks)


@pytest.mark.parametrize(("name", "model", "way"), CASES)
async def test_the_second_turn_of_messages_is_answered(name: str, model: str, way: str) -> None:
    wish: Any = {"model": model, "max_tokens": 4000, "tools": [{"name": "weather", "input_schema": SCHEMA}]}
    if name in THINKERS:
        wish["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    async with everybody(name) as gateway, messages(gateway) as client:
        turns: Any = [{"role": "user", "content": ASKED}]
        if way == "plain":
            first = await client.messages.create(**wish, messages=turns)
        else:
            async with client.messages.stream(**wish, messages=turns) as stream:
                first = await stream.get_final_message()
        thoughts = [block for block in first.content if "thinking" in block.type]
        assert (name in THINKERS) == bool(thoughts)
        calls = [block for block in first.content if block.type == "tool_use"]
        turns.append({"role": "assistant", "content": first.content})
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls]
        turns.append({"role": "user", "content": results})
        second = await client.messages.create(**wish | {"model": name}, messages=turns)
        assert "sunny" in str(second.content)


@pytest.mark.parametrize(("name", "model", "way"), CASES)
async def test_the_second_turn_of_responses_is_answered(name: str, model: str, way: str) -> None:
    schema = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
    wish: Any = {"model": model, "tools": [schema], "include": ["reasoning.encrypted_content"], "store": False}
    if name in THINKERS:
        wish["reasoning"] = {"effort": "high"}
    async with everybody(name) as gateway, chats(gateway) as client:
        items: Any = [{"role": "user", "content": ASKED}]
        if way == "plain":
            first = await client.responses.create(**wish, input=items)
        else:
            async with client.responses.stream(**wish, input=items) as stream:
                first = await stream.get_final_response()
        items += [item.to_dict() for item in first.output]
        calls: Any = [item for item in first.output if item.type == "function_call"]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
        second = await client.responses.create(**wish | {"model": name}, input=items)
        assert "sunny" in second.output_text
