"""What the simulator makes up for tools, structured answers and log probabilities, asked as clients ask for it."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.simulator.formats.logprobs import of_text
from engines.simulator.formats.schemas import value_for
from tests.engines.simulator.conftest import simulator
from tests.engines.simulator.test_server import HELLO

pytestmark = pytest.mark.anyio
PERSON = {
    "$defs": {"City": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 12},
        "age": {"type": "integer", "minimum": 18},
        "home": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/City"}]},
        "kind": {"const": "person"},
        "tags": {"type": "array", "items": {"enum": ["a"]}, "minItems": 2},
        "born": {"type": "string", "format": "date"},
    },
}
MADE = {
    "name": "simulated...",
    "age": 18,
    "home": {"name": "simulated"},
    "kind": "person",
    "tags": ["a", "a"],
    "born": "2026-01-31",
}
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": PERSON}}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON}}


def test_a_value_fits_its_schema() -> None:
    assert value_for(PERSON, random.Random(1)) == MADE


@settings(deadline=None, max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["#", "#/a", "object", "array", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["$ref", "type", "properties", "items", "anyOf", "allOf", "enum", "minItems", "minimum", "a"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict))
)
def test_any_schema_has_some_value(schema: Any) -> None:
    json.dumps(value_for(schema, random.Random(1)))


def test_a_schema_that_holds_itself_ends() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}}}
    assert "left" in value_for(tree, random.Random(1))
    assert value_for({"$ref": "#"}, random.Random(1)) == {}
    assert value_for({"allOf": [{"$ref": "#"}]}, random.Random(1)) == {}


@pytest.mark.parametrize("kind", ["properties", "allOf"])
def test_a_schema_that_holds_itself_many_times_is_bounded(kind: str) -> None:
    own = {"$ref": "#"}
    schema = {"allOf": [own] * 100} if kind == "allOf" else {"properties": {str(at): own for at in range(100)}}
    made = value_for(schema, random.Random(1))
    assert len(json.dumps(made)) < 100_000


def test_an_echoed_prompt_is_rated_but_for_its_first_token() -> None:
    told = of_text(["a", " b"], [" c"], 1)
    assert told["tokens"] == ["a", " b", " c"]
    assert told["text_offset"] == [0, 1, 3]
    assert (told["token_logprobs"][0], told["top_logprobs"][0]) == (None, None)
    rated = list(zip(told["token_logprobs"], told["top_logprobs"], strict=True))[1:]
    assert all(max(top.values()) == own for own, top in rated)


@pytest.mark.parametrize(("rate", "reason"), [(1.0, "tool_calls"), (0.0, "stop")])
async def test_of_requests_that_may_call_a_tool_a_share_does(rate: float, reason: str) -> None:
    async with simulator(tool_call_rate=rate) as client:
        for choice in (None, "auto"):
            body = {**HELLO, "tools": TOOLS, **({"tool_choice": choice} if choice else {})}
            (told,) = (await client.post("/v1/chat/completions", json=body)).json()["choices"]
            assert told["finish_reason"] == reason
        if rate:
            assert json.loads(told["message"]["tool_calls"][0]["function"]["arguments"]) == MADE


async def test_who_brings_a_tools_result_or_wants_no_tool_gets_words() -> None:
    async with simulator(tool_call_rate=1.0) as client:
        result = [*HELLO["messages"], {"role": "tool", "tool_call_id": "c", "content": "1"}]
        for body in ({**HELLO, "tools": TOOLS, "tool_choice": "none"}, {"messages": result, "tools": TOOLS}):
            (told,) = (await client.post("/v1/chat/completions", json=body)).json()["choices"]
            assert told["finish_reason"] == "stop"
        anthropic = {
            "max_tokens": 500,
            "tools": [{"name": "find", "input_schema": PERSON}],
            "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]}],
        }
        assert (await client.post("/v1/messages", json=anthropic)).json()["stop_reason"] != "tool_use"
        anthropic["messages"] = HELLO["messages"]
        assert (await client.post("/v1/messages", json=anthropic)).json()["stop_reason"] == "tool_use"


async def test_a_structured_answer_fits_what_was_asked_for_in_every_format() -> None:
    async with simulator() as client:
        chat = (await client.post("/v1/chat/completions", json={**HELLO, "response_format": FORMAT})).json()
        assert json.loads(chat["choices"][0]["message"]["content"]) == MADE
        own = {**HELLO, "structured_outputs": {"json": PERSON}}
        told = (await client.post("/v1/chat/completions", json=own)).json()
        assert json.loads(told["choices"][0]["message"]["content"]) == MADE
        any_object = {**HELLO, "response_format": {"type": "json_object"}}
        told = (await client.post("/v1/chat/completions", json=any_object)).json()
        assert isinstance(json.loads(told["choices"][0]["message"]["content"]), dict)
        text = {"format": {"type": "json_schema", "name": "p", "schema": PERSON}}
        told = (await client.post("/v1/responses", json={"input": "x", "text": text})).json()
        assert json.loads(told["output"][0]["content"][0]["text"]) == MADE
        wanted = {"max_tokens": 500, "output_config": {"format": {"type": "json_schema", "schema": PERSON}}}
        told = (await client.post("/v1/messages", json={**HELLO, **wanted})).json()
        assert json.loads(told["content"][0]["text"]) == MADE


@pytest.mark.parametrize(
    "wanted", [{"type": "yaml"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": 1}]
)
async def test_a_format_that_cannot_be_is_refused(wanted: Any) -> None:
    async with simulator() as client:
        answer = await client.post("/v1/chat/completions", json={**HELLO, "response_format": wanted})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_format")


async def test_log_probabilities_come_with_each_token_plain_and_streamed() -> None:
    body = {**HELLO, "max_tokens": 3, "logprobs": True, "top_logprobs": 2}
    async with simulator() as client:
        plain = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["logprobs"]["content"]
        streamed = (await client.post("/v1/chat/completions", json={**body, "stream": True})).text
    assert [len(token["top_logprobs"]) for token in plain] == [2, 2, 2]
    assert streamed.count('"top_logprobs"') == 3


async def test_a_likelihood_is_asked_for_as_evaluations_do() -> None:
    async with simulator() as client:
        ids = (await client.post("/tokenize", json={"prompt": "water runs down"})).json()["tokens"]
        body = {"prompt": [ids], "max_tokens": 1, "logprobs": 1, "echo": True, "seed": 1234}
        (choice,) = (await client.post("/v1/completions", json=body)).json()["choices"]
        streamed = (await client.post("/v1/completions", json={**body, "stream": True})).text
    assert choice["text"].startswith("water runs down")
    assert len(choice["logprobs"]["token_logprobs"]) == len(ids) + 1
    assert all(value < 0 for value in choice["logprobs"]["token_logprobs"][1:] if value)
    assert '"text":"water runs down"' in streamed


async def test_pooling_and_classes_are_told_for_each_input() -> None:
    async with simulator(embedding_dimensions=4) as client:
        pooled = (await client.post("/pooling", json={"input": "two words"})).json()["data"]
        classes = (await client.post("/classify", json={"input": ["a", "b"]})).json()["data"]
    assert [len(vector) for vector in pooled[0]["data"]] == [4] * len(pooled[0]["data"])
    assert [sum(one["probs"]) for one in classes] == [1.0, 1.0]
    assert {one["label"] for one in classes} <= {"LABEL_0", "LABEL_1"}


async def test_the_body_of_who_offers_an_upgrade_is_read() -> None:
    async with simulator() as client:
        assert isinstance(client, httpx.AsyncClient)
        url = client.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        body = json.dumps({**HELLO, "max_tokens": 1}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        writer.write(b"%bUpgrade: h2c\r\nHTTP2-Settings: AA\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)
        writer.close()
    assert answer == b"HTTP/1.1 200 OK\r\n"
