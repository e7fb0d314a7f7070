"""What Claude is asked to think, and what of its clients' schemas OpenAI is held to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engines.wire.anthropic_messages.codec import EGRESS as CLAUDE
from engines.wire.anthropic_messages.codec import INGRESS as MESSAGES
from engines.wire.anthropic_messages.request_encoder import ONE_OBJECT
from engines.wire.bedrock_converse.codec import EGRESS as BEDROCK
from engines.wire.openai_chat.codec import INGRESS as CHAT
from engines.wire.request import Unreadable

OPUS = "claude-opus-4-1-20250805"
SONNET = "claude-sonnet-4-5"
HELLO = [{"role": "user", "content": "hi"}]
TEXT = {"type": "string"}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"a": TEXT},
    "required": ["a"],
    "additionalProperties": False,
}


def sent(egress: Any, model: str, **members: Any) -> dict[str, Any]:
    request = CHAT.decode_request(msgspec.json.encode({"model": "m", "messages": HELLO, **members}))
    body: dict[str, Any] = msgspec.json.decode(egress.encode_request(request, model, egress.takes))
    return body


@pytest.mark.parametrize("effort", ["low", "high", "xhigh", "max"])
@pytest.mark.parametrize("model", ["claude-opus-4-20250514", "claude-opus-4-0", "claude-opus-4@20250514", OPUS])
def test_an_effort_stays_within_what_opus_4_takes(model: str, effort: str) -> None:
    body = sent(CLAUDE, model, reasoning_effort=effort)
    assert body["thinking"]["budget_tokens"] + 8192 == body["max_tokens"] <= 32_000


def test_an_effort_at_a_model_that_takes_more_has_all_of_its_budget() -> None:
    body = sent(CLAUDE, SONNET, reasoning_effort="high")
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (24576, 32768)


@pytest.mark.parametrize(
    "model", ["claude-3-5-sonnet-20241022", "claude-3-haiku-20240307", "anthropic.claude-3-5-haiku-20241022-v1:0"]
)
def test_a_model_that_cannot_think_is_not_asked_to(model: str) -> None:
    body = sent(CLAUDE, model, reasoning_effort="high")
    assert "thinking" not in body
    assert body["max_tokens"] == 8192
    assert "additionalModelRequestFields" not in sent(BEDROCK, model, reasoning_effort="high")


def test_the_first_model_that_thinks_is_asked_to() -> None:
    body = sent(CLAUDE, "claude-3-7-sonnet-20250219", reasoning_effort="low")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}


@pytest.mark.parametrize(
    ("most", "thinking"),
    [
        (2048, {"type": "enabled", "budget_tokens": 1024}),
        (3000, {"type": "enabled", "budget_tokens": 1500}),
        (9000, {"type": "enabled", "budget_tokens": 2048}),
        (2000, {"type": "disabled"}),
    ],
)
def test_an_effort_leaves_half_of_the_tokens_to_the_answer(most: int, thinking: dict[str, Any]) -> None:
    body = sent(CLAUDE, SONNET, reasoning_effort="low", max_completion_tokens=most)
    assert (body["thinking"], body["max_tokens"]) == (thinking, most)


@pytest.mark.parametrize("egress", [CLAUDE, BEDROCK], ids=["anthropic", "bedrock"])
@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "  "}],
        [{"role": "system", "content": "be kind"}, {"role": "user", "content": "\n"}],
    ],
    ids=["blank", "blank after a system message"],
)
def test_a_conversation_that_says_nothing_is_refused_by_its_name(egress: Any, messages: list[Any]) -> None:
    with pytest.raises(Unreadable, match="`messages` should have something besides system messages and blank texts"):
        sent(egress, SONNET, messages=messages)


def strict_of(schema: Any) -> bool | None:
    asked = {"type": "json_schema", "schema": schema}
    body = {"model": "m", "max_tokens": 9, "messages": HELLO, "output_config": {"format": asked}}
    output = MESSAGES.decode_request(msgspec.json.encode(body)).output
    assert output is not None
    return output.strict


def within(part: Any) -> dict[str, Any]:
    return {**CLOSED, "properties": {"a": part}}


@pytest.mark.parametrize(
    "schema",
    [
        CLOSED,
        within(CLOSED),
        within({**CLOSED, "type": ["object", "null"]}),
        within({"anyOf": [TEXT, {"$ref": "#/$defs/b"}]}) | {"$defs": {"b": {"enum": ["x"]}}},
        within({"type": "array", "items": {"const": 1}}),
    ],
)
def test_a_closed_schema_is_strict(schema: Any) -> None:
    assert strict_of(schema) is True


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array", "items": TEXT},
        {"anyOf": [CLOSED]},
        {**CLOSED, "anyOf": [CLOSED]},
        within({}),
        within({"description": "any"}),
        within({"type": ["object", "null"], "properties": {"b": TEXT}}),
        within({"properties": {"b": TEXT}}),
        within({"properties": {"b": TEXT}, "required": ["b"], "additionalProperties": False}),
        within({"type": "array", "items": {}}),
        {**CLOSED, "required": []},
    ],
)
def test_a_schema_that_is_not_closed_is_not_strict(schema: Any) -> None:
    assert strict_of(schema) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"properties": []},
        {"$defs": []},
        {"$defs": None},
        {"anyOf": 3},
        {"required": None},
        {"required": [{}]},
        {"items": 3},
        {"type": {}},
        {"properties": {"a": 3}},
    ],
)
def test_a_malformed_schema_is_read_and_not_strict(odd: dict[str, Any]) -> None:
    assert strict_of({**CLOSED, **odd}) is None
    assert strict_of(within({**CLOSED, **odd})) is None


JSON = {"type": "json_object"}
MARKED = {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}


def test_an_object_without_a_schema_is_asked_for_in_words_behind_what_the_system_says() -> None:
    system = {"role": "system", "content": "be brief"}
    assert sent(CLAUDE, SONNET, response_format=JSON)["system"] == ONE_OBJECT
    told = sent(CLAUDE, SONNET, messages=[system, *HELLO], response_format=JSON)
    assert told["system"] == [{"type": "text", "text": "be brief"}, {"type": "text", "text": ONE_OBJECT}]
    assert "output_config" not in told
    told = sent(BEDROCK, SONNET, messages=[system, *HELLO], response_format=JSON)
    assert told["system"] == [{"text": "be brief"}, {"text": ONE_OBJECT}]
    assert "outputConfig" not in told


def test_the_words_that_ask_for_an_object_stand_behind_the_mark_of_a_cache() -> None:
    marked = {"role": "system", "content": [MARKED]}
    told = sent(CLAUDE, SONNET, messages=[marked, *HELLO], response_format=JSON)["system"]
    assert told == [MARKED, {"type": "text", "text": ONE_OBJECT}]
    told = sent(BEDROCK, SONNET, messages=[marked, *HELLO], response_format=JSON)["system"]
    assert told == [{"text": "be brief"}, {"cachePoint": {"type": "default"}}, {"text": ONE_OBJECT}]


@pytest.mark.parametrize("egress", [CLAUDE, BEDROCK])
def test_whoever_asks_for_no_object_is_told_no_words(egress: Any) -> None:
    assert "system" not in sent(egress, SONNET)
    assert "system" not in sent(egress, SONNET, response_format={"type": "text"})
    schema = {"name": "s", "schema": CLOSED}
    assert "system" not in sent(egress, SONNET, response_format={"type": "json_schema", "json_schema": schema})


TITAN = "amazon.titan-text-express-v1"
SYSTEM = {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    "model",
    [
        *(TITAN, "us.amazon.titan-text-premier-v1:0", "amazon.titan-tg1-large", "mistral.mistral-7b-instruct-v0:2"),
        *("mistral.mixtral-8x7b-instruct-v0:1", "cohere.command-text-v14", "cohere.command-light-text-v14"),
        "ai21.j2-ultra-v1",
    ],
)
def test_a_model_without_a_system_prompt_is_told_all_as_its_user(model: str) -> None:
    messages = [SYSTEM, *HELLO, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "list"}]
    told = sent(BEDROCK, model, messages=messages, response_format=JSON)
    assert "system" not in told
    assert [[block["text"] for block in message["content"]] for message in told["messages"]] == [
        ["be brief", HELLO[0]["content"]],
        ["yes?"],
        ["list", ONE_OBJECT],
    ]


@pytest.mark.parametrize(
    "model", ["mistral.mistral-large-2407-v1:0", "cohere.command-r-v1:0", "ai21.jamba-1-5-large-v1:0"]
)
def test_other_makers_models_have_a_system_prompt(model: str) -> None:
    assert "system" in sent(BEDROCK, model, messages=[SYSTEM, *HELLO])


def test_what_the_system_says_to_a_model_without_it_bears_no_mark_and_stands_before_an_answer() -> None:
    begun = [{"role": "system", "content": [MARKED]}, {"role": "assistant", "content": "so"}]
    told = sent(BEDROCK, TITAN, messages=[*begun, *HELLO])["messages"]
    assert told[0] == {"role": "user", "content": [{"text": "be brief"}]}
    assert [message["role"] for message in told] == ["user", "assistant", "user"]


def test_an_object_is_asked_for_where_nobody_but_the_model_has_spoken() -> None:
    said = [{"role": "assistant", "content": "so"}]
    told = sent(BEDROCK, TITAN, messages=said, response_format=JSON)["messages"]
    assert told[0] == {"role": "user", "content": [{"text": ONE_OBJECT}]}
    assert [message["role"] for message in told] == ["user", "assistant"]
