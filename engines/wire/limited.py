"""A request without what a target does not take: what is told to be dropped is not sent."""

from __future__ import annotations

from copy import copy
from typing import Final

from engines.wire.features import hints_within, is_forced_to_think
from engines.wire.request import ChatRequest, FilePart, ImagePart, Part, ResultPart, TextPart, Tool, Turn

_UNSET: Final[dict[str, object]] = {
    "temperature": None,
    "top_p": None,
    "top_k": None,
    "n": None,
    "seed": None,
    "stop": [],
    "presence_penalty": None,
    "frequency_penalty": None,
    "user": "",
    "parallel_tool_calls": None,
}
_WITHIN: Final = frozenset({"cache_control", "message_names", "image_detail", "tool_errors", "strict_tools"})


def limited(request: ChatRequest, takes: frozenset[str], *, system_alone: bool = False) -> ChatRequest:
    """`request`, or a copy that asks for nothing beyond what `takes` names, but for content: a target that cannot take
    that is not asked at all. `system_alone`: it answers a conversation in which no user has spoken."""
    left: dict[str, object] = {name: unset for name, unset in _UNSET.items() if name not in takes}
    choice = request.tool_choice
    if choice is not None and choice.mode in ("required", "named") and f"tool_choice.{choice.mode}" not in takes:
        left["tool_choice"] = None
    if "reasoning_effort" not in takes or (is_forced_to_think(request) and "forced_tool_reasoning" not in takes):
        left["reasoning"] = None
    found = copy(request)
    if not system_alone:
        found.turns = spoken(request.turns)
    for name, unset in left.items():
        setattr(found, name, unset)
    unknown = _WITHIN - takes
    if not unknown.isdisjoint(hints_within(request)):
        found.tools = [_bare_tool(tool, unknown) for tool in request.tools]
        found.turns = [_bare_turn(turn, unknown) for turn in found.turns]
    return found


def _bare_tool(tool: Tool, unknown: frozenset[str]) -> Tool:
    strict = None if "strict_tools" in unknown else tool.strict
    cache = None if "cache_control" in unknown else tool.cache
    return Tool(tool.name, tool.description, tool.parameters, strict, cache)


def _bare_turn(turn: Turn, unknown: frozenset[str]) -> Turn:
    name = "" if "message_names" in unknown else turn.name
    return Turn(turn.role, [_bare(part, unknown) for part in turn.parts], name)


def _bare(part: Part, unknown: frozenset[str]) -> Part:
    bare = copy(part)
    if "cache_control" in unknown and hasattr(bare, "cache"):
        bare.cache = None
    if isinstance(bare, ImagePart) and "image_detail" in unknown:
        bare.detail = ""
    if isinstance(bare, ResultPart):
        bare.failed = bare.failed and "tool_errors" not in unknown
        told = [_bare(one, unknown) for one in bare.parts]
        bare.parts = [one for one in told if isinstance(one, (TextPart, ImagePart, FilePart))]
    return bare


def spoken(turns: list[Turn]) -> list[Turn]:
    """The turns, of which somebody must have said one: what a system's message says alone is asked as its user's, where
    the target wants one of those."""
    if any(turn.role != "system" for turn in turns):
        return turns
    return [*turns[:-1], Turn("user", turns[-1].parts)]
