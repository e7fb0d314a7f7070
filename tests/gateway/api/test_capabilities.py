"""What a model is said to be able to do is what a request for it is not refused for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import ModelCapabilities, ModelInfo

from engines.model import Operation
from gateway.api.capabilities import Capabilities
from gateway.settings import load_settings

ENGINES: dict[str, Any] = {
    "llama": {"kind": "vllm", "replicas": [{"url": "http://a.test:8000"}]},
    "claude": {"kind": "anthropic", "api_key": "k"},
    "jamba": {"kind": "openai", "provider": "ai21", "api_key": "k"},
    "command": {"kind": "cohere", "api_key": "k"},
    "aws": {"kind": "bedrock", "api_key": "k"},
    "gemini": {"kind": "gemini", "api_key": "k"},
    "ranking": {"kind": "gemini", "vertex": {"project": "p", "ranking": True}},
    "openai": {"kind": "openai", "api_key": "k"},
    "sim": {"kind": "simulator"},
}
NONE = dict.fromkeys(("tools", "images", "schema", "reasoning", "embeddings", "rerank"), False)
ALL = {**NONE, "tools": True, "images": True, "schema": True, "reasoning": True}
EMBEDS, RANKS = {**NONE, "embeddings": True}, {**NONE, "rerank": True}


def capabilities(*targets: dict[str, Any], operation: Operation = Operation.CHAT) -> Capabilities:
    loaded = load_settings(json.dumps({"engines": ENGINES, "models": {"m": {"targets": list(targets)}}}), {}).settings
    return Capabilities(loaded.models["m"], loaded.engines, operation)


@pytest.mark.parametrize(
    ("targets", "able"),
    [
        ([{"engine": "llama"}], ALL),
        ([{"engine": "sim"}], {**ALL, "embeddings": True, "rerank": True}),
        ([{"engine": "llama", "lacks": ["images", "tools"]}], {**ALL, "images": False, "tools": False}),
        ([{"engine": "claude"}], ALL),
        ([{"engine": "jamba"}], {**ALL, "images": False, "schema": False, "reasoning": False}),
        ([{"engine": "jamba", "takes": ["reasoning_effort"]}], {**ALL, "images": False, "schema": False}),
        ([{"engine": "command", "lacks": ["images"]}], {**ALL, "images": False}),
        ([{"engine": "jamba"}, {"engine": "command", "lacks": ["tools"]}], ALL),
    ],
)
def test_it_can_what_one_of_its_targets_takes(targets: list[dict[str, Any]], able: dict[str, bool]) -> None:
    assert able == capabilities(*targets).of_openai()


@pytest.mark.parametrize(
    ("engine", "model", "able"),
    [
        ("openai", "text-embedding-3-small", EMBEDS),
        ("gemini", "gemini-embedding-001", EMBEDS),
        ("command", "embed-v4.0", EMBEDS),
        ("command", "rerank-v3.5", RANKS),
        ("aws", "amazon.titan-embed-text-v2:0", EMBEDS),
        ("aws", "cohere.rerank-v3-5:0", RANKS),
        ("llama", "BAAI/bge-m3", EMBEDS),
        ("llama", "BAAI/bge-reranker-v2-m3", RANKS),
        ("llama", "intfloat/e5-mistral-7b-instruct", EMBEDS),
        ("openai", "gpt-5-mini", ALL),
        ("ranking", "semantic-ranker-default-004", RANKS),
        ("gemini", "some-reranker", NONE),  # which it is not asked for
        ("claude", "an-embedder", NONE),
    ],
)
def test_a_model_that_embeds_or_ranks_does_that_and_does_not_chat(
    engine: str, model: str, able: dict[str, bool]
) -> None:
    assert able == capabilities({"engine": engine, "model": model}).of_openai()


def test_a_target_says_of_a_model_with_such_a_name_what_else_it_takes() -> None:
    told = capabilities({"engine": "llama", "model": "bge-chat", "takes": ["tools"]}).of_openai()
    assert {**EMBEDS, "tools": True} == told


def test_clients_of_anthropics_are_told_that_a_model_that_embeds_supports_nothing() -> None:
    told = capabilities({"engine": "claude", "model": "embed"}, operation=Operation.MESSAGES).of_anthropic()
    assert [] == [name for name, value in told.items() if value["supported"]]
    assert [] == [name for name, value in told["thinking"]["types"].items() if value["supported"]]


def supported(told: Any) -> dict[str, bool]:
    return {name: value["supported"] for name, value in told.items()}


def test_clients_of_anthropics_are_told_every_key_of_theirs() -> None:
    for targets in ([{"engine": "claude"}], [{"engine": "jamba"}], [{"engine": "llama", "lacks": ["files"]}]):
        told = capabilities(*targets, operation=Operation.MESSAGES).of_anthropic()
        info = {"id": "m", "type": "model", "display_name": "m", "created_at": "1970-01-01T00:00:00Z"}
        ModelInfo.model_validate({**info, "lifecycle": "active", "capabilities": told})
        assert ModelCapabilities.model_fields.keys() == told.keys()
        assert [] == [name for name in told if name not in ModelCapabilities.model_validate(told).to_dict()]


def test_what_only_claude_has_is_told_of_claude_alone() -> None:
    names = ("citations", "code_execution", "context_management", "server_tools")
    claude = supported(capabilities({"engine": "claude"}, operation=Operation.MESSAGES).of_anthropic())
    llama = supported(capabilities({"engine": "llama"}, operation=Operation.MESSAGES).of_anthropic())
    assert [(True, False)] * 4 == [(claude[name], llama[name]) for name in names]
    assert (False, True, True) == (claude["batch"], claude["thinking"], llama["pdf_input"])


def test_a_model_that_a_reload_has_taken_is_told_to_do_nothing() -> None:
    assert dict.fromkeys(ALL, False) == Capabilities(None, {}, Operation.CHAT).of_openai()
