"""Usage as each format tells it: what says no count is unknown, and what is no text is apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engines.model import INPUT, OUTPUT, Operation, Parts, Units, Usage
from engines.wire import DIALECTS
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.bedrock_converse import codec as bedrock
from engines.wire.codec import Egress
from engines.wire.cohere import codec as cohere
from engines.wire.events import Counted
from engines.wire.gemini import codec as gemini
from engines.wire.gemini.stream_decoder import normalised
from engines.wire.openai_chat import codec as openai_chat

Said = Callable[[Any], dict[str, Any]]


def chat(usage: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}], "usage": usage}


def message(usage: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "a"}]
    return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}


def gemini_said(usage: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
        "usageMetadata": usage,
    }


def cohere_said(usage: Any) -> dict[str, Any]:
    return {"id": "x", "message": {"content": "a"}, "finish_reason": "COMPLETE", "usage": usage}


def bedrock_said(usage: Any) -> dict[str, Any]:
    return {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", "usage": usage}


FORMATS: dict[str, tuple[Egress, Said]] = {
    "chat": (openai_chat.EGRESS, chat),
    "messages": (anthropic_messages.EGRESS, message),
    "gemini": (gemini.EGRESS, gemini_said),
    "cohere": (cohere.EGRESS, cohere_said),
    "bedrock": (bedrock.EGRESS, bedrock_said),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("usage", [{}, {"odd": 1}, {"billed_units": {}}, {"tokens": {}}], ids=repr)
def test_a_translated_answers_usage_without_a_count_is_unknown(format: str, usage: Any) -> None:
    egress, said = FORMATS[format]
    found = egress.decode_answer(json.dumps(said(usage)).encode())
    assert [event for event in found if isinstance(event, Counted)] == []


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (Operation.CHAT, chat),
        (Operation.COMPLETIONS, chat),
        (Operation.MESSAGES, message),
        (Operation.RESPONSES, lambda usage: {"status": "completed", "usage": usage}),
        (Operation.EMBEDDINGS, lambda usage: {"data": [], "usage": usage}),
        (Operation.RERANK, lambda usage: {"results": [], "usage": usage}),
        (Operation.TRANSCRIPTIONS, lambda usage: {"text": "a", "usage": usage}),
    ],
)
@pytest.mark.parametrize("usage", [{}, {"odd": 1}], ids=repr)
def test_an_answers_usage_without_a_count_is_unknown(operation: Operation, said: Said, usage: Any) -> None:
    assert DIALECTS[operation].read_answer(json.dumps(said(usage)).encode()).usage is None


def test_geminis_tokens_that_are_no_text_are_apart() -> None:
    told = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 1300,
        "thoughtsTokenCount": 7,
        "cachedContentTokenCount": 20,
        "toolUsePromptTokenCount": 9,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "AUDIO", "tokenCount": 30},
            {"modality": "IMAGE", "tokenCount": 40},
            {"modality": "VIDEO", "tokenCount": 15},
            {"modality": "DOCUMENT", "tokenCount": 5},
        ],
        "toolUsePromptTokensDetails": [{"modality": "IMAGE", "tokenCount": 2}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}, {"modality": "AUDIO", "tokenCount": 3}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 12}, {"modality": "IMAGE", "tokenCount": 8}],
        "trafficType": "ON_DEMAND_FLEX",
    }
    parts = Parts(30, 42, 3, 1290, 12, 8, 0, 15, 0)
    assert normalised(msgspec.Raw(json.dumps(told).encode())) == Usage(109, 1307, 20, 0, 7, tier="flex", parts=parts)


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ({"serviceTier": "standard", "trafficType": "ON_DEMAND_PRIORITY"}, ""),
        ({"serviceTier": "PRIORITY"}, "priority"),
        ({"trafficType": "ON_DEMAND"}, ""),
    ],
)
def test_geminis_tiers_are_named_as_prices_name_them(said: dict[str, str], tier: str) -> None:
    usage = normalised(msgspec.Raw(json.dumps({"promptTokenCount": 1, **said}).encode()))
    assert usage == Usage(1, 0, tier=tier, unsaid=OUTPUT)


@pytest.mark.parametrize(
    ("operation", "said", "units"),
    [
        (
            *(Operation.MESSAGES, message({"input_tokens": 1, "server_tool_use": {"web_search_requests": 3}})),
            Units(web_searches=3),
        ),
        (Operation.CHAT, chat({"prompt_tokens": 1, "num_search_queries": 2}), Units(web_searches=2)),
        (
            *(Operation.CHAT, chat({"prompt_tokens": 1, "server_tool_use": {"web_search_requests": 4}})),
            Units(web_searches=4),
        ),
        (Operation.CHAT, chat({"prompt_tokens": 1, "prompt_audio_seconds": 12}), Units(audio_seconds=12.0)),
        (Operation.CHAT, chat({"prompt_tokens": 1, "prompt_audio_seconds": {}}), None),
        (Operation.CHAT, chat({"prompt_tokens": 1, "prompt_audio_seconds": -1e9}), None),
        (Operation.CHAT, chat({"prompt_tokens": 1, "prompt_audio_seconds": 1e308}), None),
        (
            Operation.RESPONSES,
            {
                "status": "completed",
                "usage": {"input_tokens": 1},
                "output": [{"type": "file_search_call"}, {"type": "message"}, {"type": "web_search_call"}],
            },
            Units(web_searches=1, file_searches=1),
        ),
    ],
)
def test_searches_and_seconds_are_counted(operation: Operation, said: dict[str, Any], units: Units | None) -> None:
    usage = DIALECTS[operation].read_answer(json.dumps(said).encode()).usage
    assert usage is not None
    assert (usage.input_tokens, usage.units) == (1, units)


def test_a_trillion_tokens_are_no_count() -> None:
    for count, tokens, unsaid in ((2**40, 2**40, 0), (2**40 + 1, 0, INPUT)):
        body = json.dumps(chat({"prompt_tokens": count, "completion_tokens": 2})).encode()
        assert DIALECTS[Operation.CHAT].read_answer(body).usage == Usage(tokens, 2, unsaid=unsaid)


def test_a_later_report_adds_to_the_units_of_an_earlier_one() -> None:
    first, later = Units(audio_seconds=2.0, web_searches=1), Units(web_searches=3, pages=1)
    both = Units(audio_seconds=2.0, web_searches=3, pages=1)
    assert Usage(1, 0, units=first).merged(Usage(1, 2, units=later)) == Usage(1, 2, units=both)
    assert Usage(1, 0, units=first).merged(Usage(1, 2)).units == first
