"""`tool_choice` as both of OpenAI's formats spell it; only a named function is written differently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engines.wire.reading import Members
from engines.wire.request import ChatRequest, ToolChoice, Unreadable


def take_tool_choice(members: Members, request: ChatRequest, named: Callable[[dict[str, Any]], Members | None]) -> None:
    """Read it into the request. `named` gives what holds the name of a function, or None where none is named.

    Raises Unreadable.
    """
    choice = members.any("tool_choice")
    if choice is None:
        return
    match choice:
        case "auto" | "none" | "required":
            request.tool_choice = ToolChoice(choice)
            return
    if isinstance(choice, dict):
        function = named(choice)
        if function is not None:
            request.tool_choice = ToolChoice("named", function.need("name", str))
            return
        if isinstance(choice.get("type"), str):
            request.unread.append(f"tool_choice.{choice['type']}")
            return
    raise Unreadable("`tool_choice` should be none, auto, required or a named function", "tool_choice")
