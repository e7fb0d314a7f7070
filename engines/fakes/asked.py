"""What a request asks for, in no provider's words: each provider's reader makes one, and `story` answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the answer may call."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    """The JSON schema of its arguments."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for an answer, read and found to be valid."""

    model: str
    stream: bool
    text: str
    """What the last turn of the user says."""
    cacheable: str = ""
    """The beginning of the prompt that the provider would keep; empty for none."""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """auto, none or required."""
    forced: str = ""
    """The one tool that must be called; empty for none."""
    parallel: bool = True
    results: tuple[str, ...] = ()
    """What the tools returned, where the last turn is theirs."""
    images: int = 0
    schema: Mapping[str, Any] | None = None
    """The answer is to be JSON of this schema; an empty one is any object."""
    reasoning: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    choices: int = 1
    include_usage: bool = True
