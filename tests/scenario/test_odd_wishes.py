"""What an OpenAI client may send, and a provider would refuse as it stands: it is told in the provider's way, or its
target is passed over beforehand. No provider is asked in vain."""

from __future__ import annotations

import base64
from typing import Any

import openai
import pytest

from tests.scenario.gateway import AUTH, running_gateway
from tests.scenario.test_every_provider import MODELS, ONCE, PIXEL, chats, engine, served, tool

pytestmark = pytest.mark.anyio

USER = {"role": "user", "content": "look"}


def called(id: str, arguments: str = "{}", content: str | None = None) -> list[Any]:
    """A conversation in which somebody else's model called a tool."""
    call = {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}}
    answer = {"role": "assistant", "content": content, "tool_calls": [call]}
    return [USER, answer, {"role": "tool", "tool_call_id": id, "content": "sunny"}]


def shown(*parts: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}]


def image(media_type: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{PIXEL}"}}


def file(media_type: str, name: str, data: bytes = b"%PDF-1.4") -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    return {"type": "file", "file": {"filename": name, "file_data": f"data:{media_type};base64,{encoded}"}}


TOOLS = [tool("weather")]
WISHES: dict[str, dict[str, Any]] = {
    "an id that Kimi spelt": {"messages": called("functions.weather:0"), "tools": TOOLS},
    "an id that OpenAI spelt": {"messages": called("call_abcdefghijklmnopqrstuvwx"), "tools": TOOLS},
    "arguments that are no JSON": {"messages": called("abc123def", '{"city": '), "tools": TOOLS},
    "a text of one line end beside a call": {"messages": called("abc123def", content="\n"), "tools": TOOLS},
    "a stop word of one line end": {"messages": [USER], "stop": ["\n"]},
    "a tool without parameters": {
        "messages": [USER],
        "tools": [{"type": "function", "function": {"name": "weather"}}],
    },
    "a table as a file": {"messages": shown(file("text/csv", "a.csv", b"a,b\n1,2"))},
    "an image by its other name": {"messages": shown(image("image/jpg"))},
    "two documents of one odd name": {
        "messages": shown(*[file("application/pdf", "my  file_v1.2.pdf")] * 2),
    },
    "a little thought": {"messages": [USER], "reasoning_effort": "low"},
    "no thought": {"messages": [USER], "reasoning_effort": "none"},
    "more thought than answer": {
        "messages": [USER],
        "max_completion_tokens": 800,
        "extra_body": {"thinking": {"type": "enabled", "budget_tokens": 500}},
    },
    "a thought as long as the answer": {
        "messages": [USER],
        "max_completion_tokens": 2000,
        "extra_body": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    },
    "a thought after another model's call": {
        "messages": called("abc123def"),
        "tools": TOOLS,
        "extra_body": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    },
}
IMAGES = ("an image by its other name",)
FILES = ("two documents of one odd name",)
UNABLE = {
    "ai21": {*IMAGES, *FILES, "a little thought", "no thought", *[name for name in WISHES if "thought" in name]},
    "cohere": {*FILES},
    "mistral": {*FILES},
}
"""What a provider has no place for."""
OLDER = {
    "anthropic": "claude-sonnet-4-5-20250929",
    "bedrock": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "gemini": "gemini-2.5-pro",
}
"""Models of a time when reasoning was asked for in other words."""
ASKED = [(name, model) for name, model in [*MODELS.items(), *OLDER.items()] if name != "openai"]


@pytest.mark.parametrize(("name", "model"), ASKED)
async def test_nobody_refuses_what_is_told_in_its_own_way(name: str, model: str) -> None:
    settings = {"auth": AUTH, "models": {"m": {"targets": [{"engine": name, "model": model}]}}, "retry": ONCE}
    async with served(name) as url:
        engines = {name: engine(name, url) | {"api_key": "k"}}
        async with running_gateway(settings | {"engines": engines}) as gateway, chats(gateway) as client:
            refused: dict[str, bool | str] = {}
            attempts: set[str] = set()
            for wish, body in WISHES.items():
                try:
                    await client.chat.completions.create(model="m", **body)
                except openai.BadRequestError as error:
                    refused[wish] = "no target of model 'm' takes this request" in str(error) or str(error)
                    attempts.add(error.response.headers.get("x-penstock-attempts", "0"))
    assert (refused, attempts) == (dict.fromkeys(UNABLE.get(name, ()), True), {"0"} if name in UNABLE else set())


UNTAKEN: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a moving picture": ({"messages": shown(image("image/gif"))}, {"gemini"}),
    "a letter": (
        {"messages": shown(file("application/msword", "a.doc"))},
        {"anthropic", "gemini", "cohere", "mistral"},
    ),
    "an archive": (
        {"messages": shown(file("application/zip", "a.zip"))},
        {"anthropic", "bedrock", "cohere", "mistral"},
    ),
    "a forced call after a thought": (
        {"messages": [USER], "tools": TOOLS, "tool_choice": "required", "reasoning_effort": "high"},
        {"anthropic", "bedrock"},
    ),
}


@pytest.mark.parametrize("wish", UNTAKEN)
@pytest.mark.parametrize("name", ["anthropic", "bedrock", "gemini", "cohere", "mistral"])
async def test_whoever_cannot_take_it_is_passed_over_for_who_can(name: str, wish: str) -> None:
    body, unable = UNTAKEN[wish]
    tiers = [{"engine": name, "model": MODELS[name]}, {"engine": "openai", "model": "gpt-5-mini", "tier": 1}]
    async with served(name) as url, served("openai") as other:
        engines = {name: engine(name, url) | {"api_key": "k"}, "openai": engine("openai", other) | {"api_key": "k"}}
        settings = {"auth": AUTH, "engines": engines, "models": {"m": {"targets": tiers}}, "retry": ONCE}
        async with running_gateway(settings) as gateway:
            answer = await gateway.chat("m", **body)
            record = await gateway.records.of(0)
    assert (answer.status_code, record.attempts) == (200, 1)
    assert (name in unable) == (record.engine == "openai")


async def test_between_tools_is_asked_of_nobody_but_claude() -> None:
    models = {
        "m": {"targets": [{"engine": "gemini", "model": "gemini-3-flash"}]},
        "d": {"unsupported": "drop", "targets": [{"engine": "gemini", "model": "gemini-3-flash"}]},
    }
    async with served("gemini") as url:
        engines = {"gemini": engine("gemini", url) | {"api_key": "k"}}
        async with running_gateway({"auth": AUTH, "engines": engines, "models": models}) as gateway:
            body: dict[str, Any] = {"max_tokens": 99, "messages": [USER], "thinking": {"type": "between_tools"}}
            refused = await gateway.http.post("/v1/messages", json={"model": "m", **body})
            told = await gateway.http.post("/v1/messages", json={"model": "d", **body})
    assert refused.status_code == 400
    assert "between_tools" in refused.text
    assert (told.status_code, told.headers["x-penstock-dropped-params"]) == (200, "thinking.between_tools")
