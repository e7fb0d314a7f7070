"""What a target does not take is not sent, for every format that engines are asked in and every name it knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.wire.call_ids import ANTHROPICS, BEDROCKS, MISTRALS, fitted
from engines.wire.features import CONTENT, asked
from engines.wire.request import (
    CallPart,
    ChatRequest,
    ImagePart,
    OutputFormat,
    ReasoningWish,
    ResultPart,
    TextPart,
    Tool,
    ToolChoice,
    Turn,
)
from engines.wire.translation import EGRESS
from engines.wire.unary.forms import FORMS
from engines.wire.unary.port import EmbeddingsRequest, RerankRequest

MARK = {"type": "ephemeral"}


def request(**more: Any) -> ChatRequest:
    """One that asks for whatever there is a word for, but for what excludes something else."""
    image = ImagePart(data="AAAA", media_type="image/png", detail="low")
    turns = [
        Turn("user", [TextPart("go", MARK), image], "ann"),
        Turn("assistant", [CallPart("abc123def", "f", "{}")]),
        Turn("user", [ResultPart("abc123def", [TextPart("no")], failed=True)]),
    ]
    asks: dict[str, Any] = {
        "tools": [Tool("f", "", {"type": "object"}, True)],
        "tool_choice": ToolChoice("auto"),
        "parallel_tool_calls": False,
        "output": OutputFormat("json_schema", {"type": "object"}, "s"),
        "reasoning": ReasoningWish("high"),
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.5,
        "top_k": 5,
        "stop": ["x"],
        "seed": 1,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "user": "ann",
    }
    return ChatRequest("openai_chat", "m", turns, **asks | more)


EXTENSIONS = ("prompt_cache_key", "prediction", "metadata", "safe_prompt", "prompt_mode", "guardrails", "documents")
FORCED: dict[str, dict[str, Any]] = {
    "tool_choice.required": {"tool_choice": ToolChoice("required"), "reasoning": None},
    "tool_choice.named": {"tool_choice": ToolChoice("named", "f"), "reasoning": None},
    "forced_tool_reasoning": {"tool_choice": ToolChoice("required")},
}
CASES = [(name, one) for name, egress in EGRESS.items() for one in sorted(egress.takes - CONTENT)]


@pytest.mark.parametrize(("format", "name"), [case for case in CASES if not case[1].startswith(("images.", "files."))])
def test_what_a_target_lacks_is_not_sent(format: str, name: str) -> None:
    egress = EGRESS[format]
    wish = request(**FORCED.get(name, {}), extensions=dict.fromkeys(EXTENSIONS, "x"))
    assert name in asked(wish)
    if "images" not in egress.takes:
        wish.turns[0].parts.pop()
    with_it, without = [
        egress.encode_request(wish, "claude-m", takes) for takes in (egress.takes, egress.takes - {name})
    ]
    assert json.loads(with_it) != json.loads(without)


@pytest.mark.parametrize(
    ("operation", "format", "name"),
    [
        (operation, name, one)
        for operation, forms in FORMS.items()
        for name, form in forms.items()
        for one in sorted(form.takes("cohere.amazon.titan-embed-text-v2") - CONTENT)
    ],
)
def test_nor_to_one_that_embeds_or_ranks(operation: Any, format: str, name: str) -> None:
    form = FORMS[operation][format]
    model = "titan-embed-text-v2" if name == "dimensions" else "cohere.embed"
    others: dict[str, Any] = {"input_type": "x", "truncate": "x", "task_type": "x", "title": "x", "metadata": {"a": 1}}
    others |= {"max_tokens_per_doc": 4, "output_dtype": "float"}
    wish: Any = EmbeddingsRequest(["a"], False, {}, 5, "", others)
    if "rerank" in form.takes("cohere.rerank"):
        wish, model = RerankRequest("q", ["a"], {}, 1, True, others), "cohere.rerank"
    takes = form.takes(model) | {name}
    assert form.encode_request(model, wish, takes) != form.encode_request(model, wish, takes - {name})


@pytest.mark.parametrize("id", ["functions.weather:0", "call_" + "x" * 40, "toolu_01", "", "ä", "a" * 9, "\ud800"])
@pytest.mark.parametrize("rule", [ANTHROPICS, BEDROCKS, MISTRALS])
def test_an_id_is_spelt_as_its_target_takes_it_and_one_that_fits_is_left(id: str, rule: Any) -> None:
    told = fitted(id, rule)
    assert rule[0].fullmatch(told)
    assert told == fitted(told, rule) == fitted(id, rule)
    assert (told == id) == bool(rule[0].fullmatch(id))


def test_no_two_ids_of_a_conversation_become_one() -> None:
    ids = [f"call_{at}" for at in range(10_000)]
    assert len(ids) == len({fitted(id, MISTRALS) for id in ids})
