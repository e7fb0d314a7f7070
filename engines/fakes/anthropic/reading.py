"""From a request to what it asks for, with the rules that span its members."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from engines.fakes.anthropic import shapes
from engines.fakes.asked import Asked, Tool
from engines.fakes.problems import invalid

_DECODER: Final = msgspec.json.Decoder(shapes.Create)
_COUNTED: Final = msgspec.json.Decoder(shapes.Counted)
BUDGETED_MODELS: Final = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[0-5](?!\d)|-20\d{6}|$))")
"""Models that think by a budget alone (platform.claude.com, adaptive thinking: from Opus 4.6 and Sonnet 4.6 on)."""
SAMPLING_MODELS: Final = ("claude-3", "claude-sonnet-4", "claude-opus-4", "claude-haiku-4")
"""Models that take temperature, top_p and top_k; the newer ones refuse them."""


def signature(thinking: str) -> str:
    """What a thinking block is signed with: it comes back unchanged, or the request is refused."""
    return hmac.new(b"fake anthropic", thinking.encode(), hashlib.sha256).hexdigest()


def read_create(body: bytes) -> Asked:
    """The request in `body`. Raises Problem, or what msgspec raises."""
    request = _DECODER.decode(body)
    _check_turns(request.messages)
    _check_numbers(request)
    last = request.messages[-1]
    blocks = last.content if isinstance(last.content, list) else [shapes.TextBlock(last.content)]
    choice, thinking = request.tool_choice, request.thinking
    effort = request.output_config.effort if request.output_config else None
    named = isinstance(choice, shapes.ToolChoice)
    if isinstance(choice, shapes.ToolChoice) and choice.name not in {tool.name for tool in request.tools}:
        raise invalid(f"Tool '{choice.name}' not found in provided tools", "tool_choice.name")
    return Asked(
        model=request.model,
        stream=request.stream,
        text="\n".join(block.text for block in blocks if isinstance(block, shapes.TextBlock)),
        cacheable=_cacheable(request),
        tools=tuple(Tool(tool.name, tool.input_schema) for tool in request.tools),
        tool_choice=_mode(choice),
        forced=choice.name if isinstance(choice, shapes.ToolChoice) else "",
        parallel=not getattr(choice, "disable_parallel_tool_use", False) and not named,
        results=tuple(_said(block) for block in blocks if isinstance(block, shapes.ToolResultBlock)),
        images=sum(isinstance(block, shapes.ImageBlock) for block in blocks),
        schema=request.output_config.format.schema if request.output_config and request.output_config.format else None,
        reasoning=isinstance(thinking, (shapes.ThinkingEnabled, shapes.ThinkingAdaptive))
        or (effort is not None and thinking is None),
        max_tokens=request.max_tokens,
        stop=tuple(request.stop_sequences),
    )


def read_count(body: bytes) -> tuple[str, int]:
    """Model and number of tokens of a prompt that is only counted."""
    request = _COUNTED.decode(body)
    _check_turns(request.messages)
    return request.model, len(body) // 4 + 1


def _mode(choice: object) -> str:
    if isinstance(choice, shapes.NoChoice):
        return "none"
    return "required" if isinstance(choice, (shapes.AnyChoice, shapes.ToolChoice)) else "auto"


def _said(result: shapes.ToolResultBlock) -> str:
    if isinstance(result.content, str):
        return result.content
    return " ".join(block.text for block in result.content if isinstance(block, shapes.TextBlock))


def _check_turns(messages: Sequence[shapes.Message]) -> None:
    if messages[0].role == "assistant":
        raise invalid('messages: first message must use the "user" role', "messages.0.role")
    open_calls: set[str] = set()
    for at, message in enumerate(messages):
        blocks = message.content if isinstance(message.content, list) else []
        results = [block for block in blocks if isinstance(block, shapes.ToolResultBlock)]
        for result in results:
            if message.role != "user" or result.tool_use_id not in open_calls:
                raise invalid(
                    f"messages.{at}.content: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{result.tool_use_id}. Each `tool_result` block must have a corresponding `tool_use` block in "
                    "the previous message."
                )
        missing = open_calls - {result.tool_use_id for result in results}
        if missing and message.role == "user":
            raise invalid(
                f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(sorted(missing))}."
            )
        if results and not isinstance(blocks[0], shapes.ToolResultBlock):
            raise invalid(f"messages.{at}.content: tool_result blocks must come first")
        for number, block in enumerate(blocks):
            if isinstance(block, shapes.TextBlock) and not block.text.strip():
                where = f"messages.{at}.content.{number}"
                raise invalid(f"{where}: text content blocks must contain non-whitespace text", where)
            if isinstance(block, shapes.ThinkingBlock) and block.signature != signature(block.thinking):
                raise invalid(f"messages.{at}.content: Invalid `signature` in `thinking` block")
            if isinstance(block, (shapes.ToolUseBlock, shapes.ThinkingBlock)) and message.role != "assistant":
                raise invalid(f"messages.{at}.content: `{block.__struct_config__.tag}` blocks are the assistant's")
        open_calls = {block.id for block in blocks if isinstance(block, shapes.ToolUseBlock)}
    if open_calls:
        raise invalid("messages: the last message ends with `tool_use` blocks that nobody has answered")


def _check_numbers(request: shapes.Create) -> None:
    thinking = request.thinking
    if BUDGETED_MODELS.match(request.model):
        if isinstance(thinking, shapes.ThinkingAdaptive):
            raise invalid("adaptive thinking is not supported on this model", "thinking")
        if request.output_config is not None and request.output_config.effort is not None:
            raise invalid("This model does not support the effort parameter.", "output_config.effort")
    if isinstance(thinking, shapes.ThinkingEnabled):
        _check_last_call(request.messages)
    if isinstance(thinking, shapes.ThinkingEnabled) and thinking.budget_tokens >= request.max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`", "max_tokens")
    forced = isinstance(request.tool_choice, (shapes.AnyChoice, shapes.ToolChoice))
    if forced and isinstance(thinking, (shapes.ThinkingEnabled, shapes.ThinkingAdaptive)):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.", "tool_choice")
    if request.tool_choice is not None and not request.tools:
        raise invalid("tool_choice may only be specified while providing tools.", "tool_choice")
    sampling = [name for name in ("temperature", "top_p", "top_k") if getattr(request, name) is not UNSET]
    if sampling and not request.model.startswith(SAMPLING_MODELS):
        raise invalid(f"{sampling[0]}: Extra inputs are not permitted for {request.model}", sampling[0])
    names = [tool.name for tool in request.tools]
    if len(set(names)) < len(names):
        raise invalid("tools: Tool names must be unique.", "tools")


def _check_last_call(messages: Sequence[shapes.Message]) -> None:
    """With a budget, the answer whose calls are being answered begins with what was thought before it."""
    answers = [(at, message) for at, message in enumerate(messages) if message.role == "assistant"]
    at, last = answers[-1] if answers else (0, messages[0])
    blocks = last.content if answers and isinstance(last.content, list) else []
    calls = any(isinstance(block, shapes.ToolUseBlock) for block in blocks)
    if calls and not isinstance(blocks[0], (shapes.ThinkingBlock, shapes.RedactedThinkingBlock)):
        raise invalid(
            f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks)."
        )


def _cacheable(request: shapes.Create) -> str:
    """The prompt up to its last mark."""
    marked: list[str] = []
    kept = 0
    for tool in request.tools:
        marked.append(tool.name + str(tool.input_schema))
        kept = len(marked) if tool.cache_control else kept
    blocks: list[object] = []
    blocks += request.system if isinstance(request.system, list) else [shapes.TextBlock(request.system or " ")]
    for message in request.messages:
        blocks += message.content if isinstance(message.content, list) else [shapes.TextBlock(message.content or " ")]
    for block in blocks:
        marked.append(msgspec.json.encode(block).decode())
        kept = len(marked) if getattr(block, "cache_control", None) else kept
    return " ".join(marked if request.cache_control else marked[:kept])
