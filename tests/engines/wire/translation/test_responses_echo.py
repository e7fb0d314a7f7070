"""What a response that is translated says again of its request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response

from engines.wire.events import Finish, Text
from engines.wire.features import asked, needed
from engines.wire.openai_chat.codec import COMPATIBLE
from engines.wire.openai_chat.codec import EGRESS as CHAT
from engines.wire.openai_responses.codec import INGRESS
from engines.wire.openai_responses.echo import MAX_BYTES

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True, "description": "of a city"}
FORMAT = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True, "description": "where"}
ASKED: dict[str, Any] = {
    "instructions": "be brief",
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "weather"},
    "parallel_tool_calls": False,
    "metadata": {"ticket": "7"},
    "temperature": 0.5,
    "top_p": 0.9,
    "max_output_tokens": 90,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": FORMAT, "verbosity": "low"},
    "service_tier": "flex",
    "top_logprobs": 3,
    "truncation": "auto",
    "max_tool_calls": 4,
    "user": "u1",
    "safety_identifier": "s1",
    "prompt_cache_key": "k1",
}
DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "metadata": {},
    "temperature": None,
    "top_p": None,
    "max_output_tokens": None,
    "reasoning": {"effort": None, "summary": None},
    "text": {"format": {"type": "text"}},
    "truncation": "disabled",
    "user": None,
}
SAID = [Text("hello"), Finish("stop")]


def answered(untold: frozenset[str] = frozenset(), **members: Any) -> dict[str, Any]:
    """The plain answer to a request of these members, which is what a stream's last event holds."""
    request = INGRESS.decode_request(json.dumps({"model": "m", "input": "hi", **members}).encode())
    echo = INGRESS.echo(request, untold)
    plain: dict[str, Any] = json.loads(INGRESS.encode_answer(SAID, "m", 1, "x", echo))
    encoder = INGRESS.stream_encoder("m", 1, "x", echo)
    stream = b"".join([encoder.write(event) for event in SAID]) + b"".join(encoder.closing(None))
    told = [json.loads(line[6:])["response"] for line in stream.splitlines() if b'"response":' in line]
    assert [one["status"] for one in told] == ["in_progress", "in_progress", "completed"]
    assert told[-1] == plain
    changing = ("status", "output")
    assert all({**one, **{name: plain[name] for name in changing}} == plain for one in told)
    return plain


def within(names: Any, response: dict[str, Any]) -> dict[str, Any]:
    return {name: response.get(name) for name in names}


def test_what_was_asked_is_said_again() -> None:
    response = answered(**ASKED)
    assert within(ASKED, response) == ASKED
    assert Response.model_validate(response).tools[0].type == "function"


def test_what_was_not_asked_is_as_it_is_anyway() -> None:
    response = answered()
    assert within(DEFAULTS, response) == DEFAULTS
    Response.model_validate(response)


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_a_choice_is_said_again_by_its_word(choice: str) -> None:
    assert answered(tools=[TOOL], tool_choice=choice)["tool_choice"] == choice


def test_a_tool_without_what_may_be_left_out_says_so() -> None:
    told = answered(tools=[{"type": "function", "name": "weather"}])["tools"]
    assert told == [{"type": "function", "name": "weather", "parameters": None, "strict": None}]


def test_an_object_without_a_schema_is_said_again() -> None:
    assert answered(text={"format": {"type": "json_object"}})["text"] == {"format": {"type": "json_object"}}


def test_instructions_are_not_what_the_input_says() -> None:
    system = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert answered(input=system)["instructions"] is None


@pytest.mark.parametrize(
    ("untold", "name"),
    [
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("tool_choice.named", "tool_choice"),
        ("parallel_tool_calls", "parallel_tool_calls"),
        *((name, name) for name in ("service_tier", "top_logprobs", "truncation")),
    ],
)
def test_what_the_model_was_not_told_is_not_said_again(untold: str, name: str) -> None:
    response = answered(frozenset({untold}), **ASKED)
    assert response.get(name) == DEFAULTS.get(name)
    others = ASKED.keys() - {name}
    assert within(others, response) == within(others, ASKED)


@pytest.mark.parametrize("untold", ["reasoning_effort", "forced_tool_reasoning"])
def test_an_effort_that_the_model_was_not_told_is_not_said_again(untold: str) -> None:
    assert answered(frozenset({untold}), **ASKED)["reasoning"] == {"effort": None, "summary": "auto"}


def test_a_summary_a_verbosity_and_strictness_that_the_model_was_not_told_are_not_said_again() -> None:
    response = answered(frozenset({"reasoning.summary", "verbosity", "strict_tools"}), **ASKED)
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["text"] == {"format": FORMAT}
    assert response["tools"] == [{**TOOL, "strict": None}]


def test_what_asks_for_nothing_is_said_again_whoever_answers() -> None:
    """It is told to nobody, for it holds anyway: so it is among the names of nothing."""
    usual = {"service_tier": "auto", "top_logprobs": 0, "truncation": "disabled", "text": {"verbosity": "medium"}}
    request = INGRESS.decode_request(json.dumps({"model": "m", "input": "hi", **usual}).encode())
    assert asked(request) == {}
    told = answered(frozenset(asked(request)), **usual)
    assert within(usual, told) == {**usual, "text": {"format": {"type": "text"}, "verbosity": "medium"}}


def test_a_verbosity_and_a_tier_go_to_a_chat_that_takes_them_by_its_own_names() -> None:
    request = INGRESS.decode_request(json.dumps({"model": "m", "input": "hi", **ASKED}).encode())
    names = asked(request)
    assert {"verbosity": "text.verbosity", "service_tier": "service_tier"}.items() <= names.items()
    parameters, content = needed(names)
    assert {"verbosity", "service_tier", "top_logprobs"} <= parameters
    assert {"truncation", "max_tool_calls"}.isdisjoint(parameters | content)
    for egress in (CHAT, COMPATIBLE):
        told = json.loads(egress.encode_request(request, "m", egress.takes | {"verbosity", "service_tier"}))
        assert within(("verbosity", "service_tier"), told) == {"verbosity": "low", "service_tier": "flex"}
        assert {"verbosity", "service_tier"}.isdisjoint(json.loads(egress.encode_request(request, "m", egress.takes)))


@pytest.mark.parametrize("name", ["instructions", "tools"])
def test_what_is_too_large_to_keep_is_not_said_again(name: str) -> None:
    large = "x" * MAX_BYTES
    asked: dict[str, Any] = {"instructions": large, "tools": [{**TOOL, "description": large}]}
    assert answered(**{name: asked[name]})[name] == DEFAULTS[name]
    fits = large[:-2]
    assert answered(instructions=fits)["instructions"] == fits
