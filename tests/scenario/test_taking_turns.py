"""A conversation in which one provider's model answers and another's goes on, whatever format its client speaks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from tests.engines.fakes.served import fake
from tests.scenario.gateway import AUTH, KEY, Gateway, running_gateway
from tests.scenario.test_every_provider import MODELS, ONCE, SCHEMA, engine

pytestmark = pytest.mark.anyio

ALL = {**MODELS, "azure": "gpt-5-mini"}
ASKED = "weather and weather"


async def asked(gateway: Gateway, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await gateway.http.post(path, json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, (path, body["model"], answer.text)
    found: dict[str, Any] = answer.json()
    return found


async def chatted(gateway: Gateway, first: str, second: str) -> str:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    said: list[Any] = [{"role": "user", "content": ASKED}]

    def wish(name: str) -> dict[str, Any]:
        body = {"model": name, "messages": said, "tools": tools}
        return body if name == "ai21" else body | {"reasoning_effort": "low"}

    told = (await asked(gateway, "/v1/chat/completions", wish(first)))["choices"][0]["message"]
    said.append(told)
    said += [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in told["tool_calls"]]
    answer = await asked(gateway, "/v1/chat/completions", wish(second))
    return str(answer["choices"][0]["message"]["content"])


async def messaged(gateway: Gateway, first: str, second: str) -> str:
    said: list[Any] = [{"role": "user", "content": ASKED}]

    def wish(name: str) -> dict[str, Any]:
        tools = [{"name": "weather", "input_schema": SCHEMA}]
        body = {"model": name, "max_tokens": 3000, "messages": said, "tools": tools}
        return body if name == "ai21" else body | {"thinking": {"type": "enabled", "budget_tokens": 1500}}

    told = (await asked(gateway, "/v1/messages", wish(first)))["content"]
    said.append({"role": "assistant", "content": told})
    calls = [block for block in told if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"} for call in calls]
    said.append({"role": "user", "content": results})
    answer = await asked(gateway, "/v1/messages", wish(second))
    return "".join(block.get("text", "") for block in answer["content"])


async def responded(gateway: Gateway, first: str, second: str) -> str:
    items: list[Any] = [{"role": "user", "content": ASKED}]

    def wish(name: str) -> dict[str, Any]:
        tools = [{"type": "function", "name": "weather", "parameters": SCHEMA}]
        body = {"model": name, "store": False, "input": items, "tools": tools}
        more = {"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}
        return body if name == "ai21" else body | more

    told = (await asked(gateway, "/v1/responses", wish(first)))["output"]
    items += told
    calls = [item for item in told if item["type"] == "function_call"]
    items += [{"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"} for call in calls]
    answer = await asked(gateway, "/v1/responses", wish(second))
    return str([item for item in answer["output"] if item["type"] == "message"])


@pytest.mark.parametrize("first", ALL)
async def test_everybody_goes_on_with_what_another_has_thought_and_called(first: str) -> None:
    with ExitStack() as running:
        engines = {}
        for name in ALL:
            section = engine(name, running.enter_context(fake(name)))
            section.pop("operations", None)  # each is asked in its own format where it has that
            engines[name] = section | {"api_key": "key-of-the-engine"}
        models = {name: {"targets": [{"engine": name, "model": model}]} for name, model in ALL.items()}
        config = {"auth": AUTH, "engines": engines, "models": models, "retry": ONCE}
        async with running_gateway(config) as gateway:
            for second in ALL:
                for ask in (chatted, messaged, responded):
                    assert "sunny" in await ask(gateway, first, second), (ask.__name__, second)
