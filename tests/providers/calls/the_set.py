"""The calls: what a developer asks for, in no SDK's words."""

from __future__ import annotations

from typing import Any, Final

from engines.wire.request import (
    AudioPart,
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    OutputFormat,
    Part,
    ReasoningWish,
    ResultPart,
    TextPart,
    ThoughtPart,
    Tool,
    ToolChoice,
    Turn,
)

MODEL: Final = "m"
CITY: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Final = Tool("get_weather", "The weather of a city.", CITY)
CLOCK: Final = Tool("get_time", "The time there.", {"type": "object", "properties": {}})
PNG: Final = "iVBORw0KGgo="
URL: Final = "https://example.com/a.png"
FOREIGN_ID: Final = "functions.weather:0"
"""As Kimi's models spell them."""
KEPT: Final = {"type": "ephemeral"}


def user(*parts: Part | str) -> Turn:
    return Turn("user", [TextPart(part) if isinstance(part, str) else part for part in parts])


def model(*parts: Part | str) -> Turn:
    return Turn("assistant", [TextPart(part) if isinstance(part, str) else part for part in parts])


def system(*parts: Part | str) -> Turn:
    return Turn("system", [TextPart(part) if isinstance(part, str) else part for part in parts])


def call(*turns: Turn, **members: Any) -> ChatRequest:
    return ChatRequest("", MODEL, list(turns) or [user("hi")], **members)


def asked(number: int = 1, arguments: str = '{"city":"Oslo"}', name: str = "get_weather") -> CallPart:
    return CallPart(f"call{number:05d}", name, arguments)


def result(number: int = 1, *parts: TextPart | ImagePart | FilePart, failed: bool = False) -> ResultPart:
    return ResultPart(f"call{number:05d}", list(parts) or [TextPart("rain")], failed)


def tools(*turns: Turn, **members: Any) -> ChatRequest:
    return call(*turns, **{"tools": [WEATHER], **members})


def thinking(wish: ReasoningWish, **members: Any) -> ChatRequest:
    return call(reasoning=wish, **members)


def schema(**members: Any) -> OutputFormat:
    return OutputFormat("json_schema", CITY, "place", **members)


CALLS: Final[dict[str, ChatRequest]] = {
    "a text": call(),
    "a text that is not ASCII": call(user('naïve "quotes" \n\t 🌧   \\ end')),
    "a text in two parts": call(user("one", "two")),
    "instructions": call(system("be brief"), user("hi")),
    "instructions in two parts": call(system("be brief", "be kind"), user("hi")),
    "a conversation": call(user("hi"), model("hello"), user("how are you?")),
    "a long conversation with instructions": call(
        system("be brief"), user("1"), model("2"), user("3"), model("4"), user("5")
    ),
    "two turns of the user's": call(user("hi"), user("are you there?")),
    "a bound on the answer": call(max_tokens=64),
    "a temperature": call(temperature=0.5),
    "a temperature of 0": call(temperature=0.0),
    "a high temperature": call(temperature=1.5),
    "a nucleus": call(top_p=0.9),
    "the likeliest tokens": call(top_k=40),
    "one stop": call(stop=["END"]),
    "several stops": call(stop=["END", "###"]),
    "a seed": call(seed=7),
    "a presence penalty": call(presence_penalty=0.5),
    "a frequency penalty": call(frequency_penalty=-0.5),
    "who the user is": call(user="user-1"),
    "a stream": call(stream=True),
    "a stream of much that is asked for": call(
        system("be brief"), user("hi"), stream=True, max_tokens=64, stop=["END"], user="user-1"
    ),
    "sampling by all its parameters": call(
        temperature=0.7, top_p=0.8, stop=["END"], max_tokens=9, seed=1, presence_penalty=0.1, frequency_penalty=0.2
    ),
    "a tool": tools(),
    "two tools": tools(tools=[WEATHER, CLOCK]),
    "a tool without a description": tools(tools=[Tool("get_weather", "", CITY)]),
    "a tool that keeps strictly to its schema": tools(tools=[Tool("get_weather", "The weather.", CITY, strict=True)]),
    "a tool in a stream": tools(stream=True),
    "tools, if it likes": tools(tool_choice=ToolChoice("auto")),
    "tools, but not now": tools(tool_choice=ToolChoice("none")),
    "some tool at any rate": tools(tool_choice=ToolChoice("required")),
    "this tool at any rate": tools(tools=[WEATHER, CLOCK], tool_choice=ToolChoice("named", "get_weather")),
    "one call at a time": tools(parallel_tool_calls=False),
    "one call at a time, and one at any rate": tools(tool_choice=ToolChoice("required"), parallel_tool_calls=False),
    "a call and its result": tools(user("weather?"), model(asked()), user(result())),
    "a call after a text": tools(user("weather?"), model("I look.", asked()), user(result())),
    "calls side by side": tools(
        user("weather?"), model(asked(1), asked(2, '{"city":"Rome"}')), user(result(1), result(2, TextPart("sun")))
    ),
    "calls of two tools": tools(
        user("weather?"),
        model(asked(1), asked(2, "{}", "get_time")),
        user(result(1), result(2, TextPart("noon"))),
        tools=[WEATHER, CLOCK],
    ),
    "calls one after another": tools(
        user("weather?"), model(asked(1)), user(result(1)), model(asked(2)), user(result(2)), model("Rain."), user("ok")
    ),
    "a call of nested arguments": tools(
        user("weather?"), model(asked(1, '{"city":"Oslo","at":{"days":[1,2.5,null,true]}}')), user(result())
    ),
    "a call that a model made who spells ids in his own way": tools(
        user("weather?"),
        model(CallPart(FOREIGN_ID, "get_weather", "{}")),
        user(ResultPart(FOREIGN_ID, [TextPart("rain")])),
    ),
    "a call after nothing but a line's end": tools(user("weather?"), model("\n", asked()), user(result())),
    "a stop at a line's end": call(stop=["\n", "END"]),
    "a call that failed": tools(
        user("weather?"), model(asked()), user(result(1, TextPart("no such city"), failed=True))
    ),
    "a result in two parts": tools(
        user("weather?"), model(asked()), user(result(1, TextPart("rain"), TextPart("wind")))
    ),
    "a result that is an image": tools(
        user("weather?"), model(asked()), user(result(1, TextPart("see"), ImagePart(data=PNG, media_type="image/png")))
    ),
    "a result and a word of the user's": tools(user("weather?"), model(asked()), user(result(), "in one word")),
    "calls with instructions, in a stream": tools(
        system("be brief"), user("weather?"), model(asked()), user(result()), stream=True, max_tokens=64
    ),
    "an image": call(user("look", ImagePart(data=PNG, media_type="image/png"))),
    "an image before its question": call(user(ImagePart(data=PNG, media_type="image/jpeg"), "what is it?")),
    "two images": call(
        user("compare", ImagePart(data=PNG, media_type="image/png"), ImagePart(data=PNG, media_type="image/webp"))
    ),
    "an image by its address": call(user("look", ImagePart(url=URL))),
    "an image in detail": call(user("look", ImagePart(data=PNG, media_type="image/png", detail="low"))),
    "a document": call(user("read", FilePart(data="JVBERi0=", media_type="application/pdf", name="report.pdf"))),
    "a document by its address": call(user("read", FilePart(url="https://example.com/a.pdf"))),
    "a document that is a text": call(user("read", FilePart(text="long", media_type="text/plain", name="notes"))),
    "a sound": call(user("listen", AudioPart("UklGRg==", "wav"))),
    "JSON": call(output=OutputFormat("json_object")),
    "JSON by a schema": call(output=schema()),
    "JSON by a strict schema": call(output=schema(strict=True, description="where")),
    "JSON by a schema, with tools": tools(output=schema()),
    "little thought": thinking(ReasoningWish("low")),
    "much thought": thinking(ReasoningWish("high")),
    "no thought": thinking(ReasoningWish("none")),
    "as much thought as it likes": thinking(ReasoningWish("medium", adaptive=True)),
    "thought of so many tokens": thinking(ReasoningWish(budget_tokens=4096), max_tokens=8000),
    "thought and tools": tools(reasoning=ReasoningWish("high")),
    "instructions that are kept": call(Turn("system", [TextPart("be brief", KEPT)]), user("hi")),
    "tools and turns that are kept": tools(
        Turn("user", [TextPart("long", KEPT)]), tools=[Tool("get_weather", "The weather.", CITY, cache=KEPT)]
    ),
    "a signed thought that goes back to Claude": tools(
        user("weather?"),
        model(ThoughtPart("rain, I think", "c2lnbmVk", origin="anthropic_messages"), asked()),
        user(result()),
    ),
    "a signed call that goes back to Gemini": tools(
        user("weather?"), model(CallPart("call00001", "get_weather", '{"city":"Oslo"}', "c2lnbmVk")), user(result())
    ),
}
"""By what each asks for."""
