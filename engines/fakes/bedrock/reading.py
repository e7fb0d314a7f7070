"""From a Converse request to what it asks for, with the rules that span its members."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engines.fakes.asked import Asked, Tool
from engines.fakes.bedrock import shapes
from engines.fakes.problems import invalid

_DECODER: Final = msgspec.json.Decoder(shapes.Converse)
_DOCUMENT_NAME: Final = re.compile(r"[A-Za-z0-9\s()\[\]-]{1,200}")
_WITHOUT_SYSTEM: Final = (
    "titan-t",
    "mistral-7b",
    "mixtral-8x7b",
    "cohere.command-text",
    "cohere.command-light",
    "ai21.j2-",
)
_KINDS: Final = (
    *("text", "image", "document", "tool_use", "tool_result", "cache_point", "reasoning_content"),
    "guard_content",
)


def signature(thinking: str) -> str:
    """What reasoning is signed with."""
    return hmac.new(b"fake bedrock", thinking.encode(), hashlib.sha256).hexdigest()


def read_converse(body: bytes, model: str, *, stream: bool) -> Asked:
    """The request in `body`. Raises Problem, or what msgspec raises."""
    request = _DECODER.decode(body)
    _check_turns(request)
    if request.system and any(name in model for name in _WITHOUT_SYSTEM):
        raise invalid(
            "This model doesn't support system messages. Try again without a system message or use a model that "
            "supports system messages."
        )
    config = request.inference_config or shapes.InferenceConfig()
    tools = [tool.tool_spec for tool in (request.tool_config.tools if request.tool_config else ()) if tool.tool_spec]
    choice = (request.tool_config.tool_choice if request.tool_config else None) or shapes.ToolChoice()
    forced = choice.tool.name if choice.tool is not None else ""
    if forced and forced not in {tool.name for tool in tools}:
        raise invalid(f"The toolChoice names {forced}, which is none of the tools.")
    last = request.messages[-1].content
    fields = request.additional_model_request_fields or {}
    thinking = fields.get("thinking") or fields.get("reasoning_config") or {}
    return Asked(
        model=model,
        stream=stream,
        text="\n".join(block.text for block in last if block.text is not None),
        cacheable=_cacheable(request),
        tools=tuple(Tool(tool.name, tool.input_schema.json) for tool in tools),
        tool_choice="required" if forced or choice.any is not None else "auto",
        forced=forced,
        results=tuple(_said(block.tool_result) for block in last if block.tool_result is not None),
        images=sum(block.image is not None for block in last),
        schema=_schema(request.output_config),
        reasoning=isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive"),
        max_tokens=config.max_tokens,
        stop=tuple(config.stop_sequences or ()),
    )


def _schema(output: shapes.OutputConfig | None) -> Mapping[str, Any] | None:
    if output is None or output.text_format is None:
        return None
    try:
        return msgspec.json.decode(output.text_format.structure.json_schema.schema, type=dict[str, Any])
    except msgspec.DecodeError:
        raise invalid("The schema of outputConfig.textFormat is no JSON object.") from None


def _said(result: shapes.ToolResult) -> str:
    said = [
        block.text if block.text is not None else msgspec.json.encode(block.json).decode()
        for block in result.content
        if block.text is not None or block.json is not None
    ]
    return " ".join(said)


def _check_turns(request: shapes.Converse) -> None:
    expected = "user"
    calls: set[str] = set()
    used = False
    for at, message in enumerate(request.messages):
        if message.role != expected:
            what = "start with a user message" if at == 0 else "alternate between user and assistant roles"
            raise invalid(f"A conversation must {what}. Make sure that it does and try again.")
        expected = "assistant" if message.role == "user" else "user"
        results = set()
        for number, block in enumerate(message.content):
            if sum(getattr(block, kind) is not None for kind in _KINDS) != 1:
                raise invalid(f"messages.{at}.content.{number}: a content block has exactly one member")
            if block.text is not None and not block.text.strip():
                raise invalid(f"The text field in the ContentBlock object at messages.{at}.content.{number} is blank.")
            if block.tool_result is not None:
                results.add(block.tool_result.tool_use_id)
            if block.image is not None and (block.image.source.bytes is None) == (
                block.image.source.s3_location is None
            ):
                raise invalid(f"messages.{at}.content.{number}.image.source has exactly one member")
            _check_reasoning(block.reasoning_content, at)
        if results != calls:
            raise invalid(
                "The number of toolResult blocks at "
                f"messages.{at}.content exceeds or misses the number of toolUse blocks of the previous turn."
            )
        calls = {block.tool_use.tool_use_id for block in message.content if block.tool_use is not None}
        used = used or bool(calls or results)
    _check_documents(request)
    if calls or expected == "user":
        raise invalid("The conversation must end with a user message that answers every toolUse.")
    if used and request.tool_config is None:
        raise invalid("The toolConfig field must be defined when using toolUse and toolResult content blocks.")


def _check_documents(request: shapes.Converse) -> None:
    """A name has no character of another sort, no two spaces in a row and no twin (DocumentBlock, service-2.json)."""
    names: list[str] = []
    for message in request.messages:
        for block in message.content:
            inner = block.tool_result.content if block.tool_result is not None else []
            documents = [block.document, *[one.document for one in inner]]
            names += [one.name for one in documents if one is not None]
    for name in names:
        if not _DOCUMENT_NAME.fullmatch(name) or "  " in name:
            raise invalid(
                "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, "
                "parentheses, and square brackets. The name can't contain more than one consecutive whitespace "
                "character."
            )
    if len(set(names)) < len(names):
        raise invalid("The request contains duplicate document names. Document names must be unique.")


def _check_reasoning(reasoning: shapes.Reasoning | None, at: int) -> None:
    text = reasoning.reasoning_text if reasoning is not None else None
    if text is not None and text.signature != signature(text.text):
        raise invalid(f"messages.{at}.content: Invalid `signature` in `thinking` block")


def _cacheable(request: shapes.Converse) -> str:
    """The prompt up to its last cache point."""
    blocks: list[Any] = [*(request.system or ())]
    for message in request.messages:
        blocks += message.content
    marks = [at for at, block in enumerate(blocks) if block.cache_point is not None]
    kept = blocks[: marks[-1]] if marks else []
    return " ".join(msgspec.json.encode(block).decode() for block in kept)
