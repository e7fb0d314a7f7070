"""What a response says again of its request, as OpenAI's does (openai-python types/responses/response.py:
`instructions`, `tools`, `tool_choice`, `metadata` and the like are members of every response).

What the model was not told is not said again: it answers as if it had not been asked for. `max_tool_calls` bounds calls
of OpenAI's own tools alone, of which nobody else makes any, so it holds everywhere.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Final

import msgspec

from engines.wire.request import ChatRequest, OutputFormat, Tool, ToolChoice

_encode = msgspec.json.Encoder().encode

MAX_BYTES: Final = 64 * 1024
"""Of one member, as JSON: it is kept while the answer comes, and stands in three events of a stream. A larger one is as
if it had not been sent."""
_HINTS: Final = (
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "max_tool_calls",
)
"""Members that say nothing to the model, as they came."""
_WHERE_TOLD: Final = ("service_tier", "top_logprobs", "truncation")


def echoed(request: ChatRequest, untold: Set[str]) -> dict[str, msgspec.Raw]:
    """The members, each as its JSON. `untold`: names (`engines.wire.features`) of what the target was not told."""
    said: dict[str, Any] = {name: request.extensions[name] for name in _HINTS if name in request.extensions}
    said |= {name: request.extensions[name] for name in _WHERE_TOLD if name in request.extensions.keys() - untold}
    if len(request.instructions) <= MAX_BYTES:
        said["instructions"] = request.instructions or None
    said["max_output_tokens"] = request.max_tokens
    said["user"] = request.user or None
    said["tools"] = [_tool(tool, "strict_tools" not in untold) for tool in request.tools]
    choice = request.tool_choice
    if choice is not None and f"tool_choice.{choice.mode}" not in untold:
        said["tool_choice"] = _choice(choice)
    if request.parallel_tool_calls is not None and "parallel_tool_calls" not in untold:
        said["parallel_tool_calls"] = request.parallel_tool_calls
    said["temperature"] = None if "temperature" in untold else request.temperature
    said["top_p"] = None if "top_p" in untold else request.top_p
    wish = request.reasoning
    told = wish is not None and untold.isdisjoint(("reasoning_effort", "forced_tool_reasoning"))
    summary = None if "reasoning.summary" in untold else request.extensions.get("reasoning.summary")
    said["reasoning"] = {"effort": wish.effort if told and wish is not None else None, "summary": summary}
    said["text"] = {"format": _format(request.output)}
    if "verbosity" in request.extensions.keys() - untold:
        said["text"]["verbosity"] = request.extensions["verbosity"]
    encoded = {name: _encode(value) for name, value in said.items()}
    return {name: msgspec.Raw(value) for name, value in encoded.items() if len(value) <= MAX_BYTES}


def _tool(tool: Tool, strictly: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "function", "name": tool.name, "parameters": tool.parameters}
    told["strict"] = tool.strict if strictly else None
    return told | ({"description": tool.description} if tool.description else {})


def _choice(choice: ToolChoice) -> Any:
    return {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode


def _format(output: OutputFormat | None) -> dict[str, Any]:
    if output is None:
        return {"type": "text"}
    if output.kind == "json_object":
        return {"type": "json_object"}
    told: dict[str, Any] = {
        "type": "json_schema",
        "name": output.name,
        "schema": output.schema,
        "strict": output.strict,
    }
    return told | ({"description": output.description} if output.description else {})
