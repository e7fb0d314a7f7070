"""What a fake answers: one rule for all providers, so that the same question gets the same answer from each.

The rules, in order:
1. Tools have answered: the text repeats what they said.
2. Each time the question names a tool, that tool is called, in the order of the names; a tool that must be called is;
   and where some tool must be and none is named, the first is. Arguments are `examples.example` of its schema.
3. JSON is asked for: the text is `examples.example` of the schema.
4. Otherwise the text is the question, and how many images came with it.
Reasoning, where it is asked for, comes first. `max_tokens` and stop sequences cut as they would; a word with the space
behind it is a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from engines.fakes.asked import Asked
from engines.fakes.examples import example
from engines.fakes.scripts import Script

_TOKEN: Final = re.compile(r"\S+\s*|\s+")
REFUSAL: Final = "I cannot help with that."


class End(Enum):
    """Why an answer ended."""

    STOP = "stop"
    STOP_SEQUENCE = "stop sequence"
    LENGTH = "length"
    TOOLS = "tools"
    REFUSAL = "refusal"
    FILTERED = "filtered"
    BROKEN_CALL = "broken call"
    BLOCKED = "blocked"
    """Nothing is answered, for what was asked."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thought, not said."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Said."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool."""

    number: int
    """From 0 in this answer."""
    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def json(self) -> str:
        return json.dumps(self.arguments, separators=(",", ":"))


Part = Reasoning | Text | Call


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens. `prompt` includes `cached` and `cache_written`, `output` includes `reasoning`."""

    prompt: int
    output: int
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """One answer."""

    parts: tuple[Part, ...]
    end: End
    counts: Counts
    stop_sequence: str | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def reasoning(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Reasoning))

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(part for part in self.parts if isinstance(part, Call))


def tokens(text: str) -> list[str]:
    """`text`, token by token."""
    return _TOKEN.findall(text)


def fragments(text: str, size: int = 7) -> list[str]:
    """The JSON of arguments in pieces, as it is streamed; the cuts fall anywhere."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def plan(asked: Asked, counts: Counts, script: Script | None = None, number: int = 1) -> Story:
    """The answer. `counts` has those of the prompt; `number` makes the ids of calls unique."""
    parts = list(_parts(asked, script, number))
    end = End.TOOLS if any(isinstance(part, Call) for part in parts) else End.STOP
    if script is Script.REFUSAL:
        parts, end = [Text(REFUSAL)], End.REFUSAL
    elif script is Script.FILTERED:
        parts, end = [Text("This much was")], End.FILTERED
    elif script is Script.BROKEN_CALL:
        parts, end = [], End.BROKEN_CALL
    elif script is Script.BLOCKED:
        parts, end = [], End.BLOCKED
    parts, end, sequence = _cut_at_stop(parts, end, asked.stop)
    parts, end = _cut_at_length(parts, end, asked.max_tokens)
    if script is Script.UNKNOWN_FINISH:
        end = End.UNKNOWN
    reasoning = sum(len(tokens(part.text)) for part in parts if isinstance(part, Reasoning))
    output = reasoning + sum(len(tokens(part.text)) for part in parts if isinstance(part, Text))
    output += sum(len(fragments(part.json)) + 1 for part in parts if isinstance(part, Call))
    return Story(tuple(parts), end, replace(counts, output=output, reasoning=reasoning), sequence)


def _parts(asked: Asked, script: Script | None, number: int) -> Iterator[Part]:
    interleaved = script is Script.INTERLEAVED
    if asked.reasoning or interleaved:
        yield Reasoning("The user asks, so I think about it first. ")
    if interleaved:
        yield Text("First thought. ")
        yield Reasoning("And now I look closer. ")
        yield Text("Second thought. ")
    names = [tool.name for tool in asked.tools] if interleaved else _called(asked)
    if names:
        schemas = {tool.name: tool.schema for tool in asked.tools}
        for at, name in enumerate(names):
            arguments = example(schemas.get(name, {}))
            yield Call(at, f"{number:04d}{at:04d}", name, arguments if isinstance(arguments, dict) else {})
    elif asked.schema is not None and not asked.results:
        answer = example(asked.schema) if asked.schema else {"answer": asked.text}
        yield Text(json.dumps(answer, separators=(", ", ": ")))
    elif script is Script.LONG:
        yield Text(" ".join(f"word{at}" for at in range(200)))
    elif asked.results:
        yield Text(f"The tools say: {'; '.join(asked.results)}")
    else:
        seen = f" I see {asked.images} image{'s' * (asked.images != 1)}." if asked.images else ""
        yield Text(f"You said: {asked.text}{seen}")


def _called(asked: Asked) -> list[str]:
    if asked.tool_choice == "none" or not asked.tools:
        return []
    if asked.forced:
        return [asked.forced]
    names = [] if asked.results else _named(asked)
    if not names and asked.tool_choice == "required":
        names = [asked.tools[0].name]
    return names if asked.parallel else names[:1]


def _named(asked: Asked) -> list[str]:
    longest_first = sorted((re.escape(tool.name) for tool in asked.tools), key=len, reverse=True)
    return re.findall(rf"(?<![\w-])(?:{'|'.join(longest_first)})(?![\w-])", asked.text)


def _cut_at_stop(parts: list[Part], end: End, stop: tuple[str, ...]) -> tuple[list[Part], End, str | None]:
    for at, part in enumerate(parts):
        if isinstance(part, Text):
            found = [(part.text.find(sequence), sequence) for sequence in stop if sequence and sequence in part.text]
            if found:
                where, sequence = min(found)
                return [*parts[:at], Text(part.text[:where])], End.STOP_SEQUENCE, sequence
    return parts, end, None


def _cut_at_length(parts: list[Part], end: End, max_tokens: int | None) -> tuple[list[Part], End]:
    if max_tokens is None:
        return parts, end
    kept: list[Part] = []
    left = max_tokens
    for part in parts:
        if isinstance(part, Call):
            kept.append(part)  # a call is short, and half of one is nothing that a test can use
            continue
        words = tokens(part.text)
        if len(words) > left:
            kept.append(replace(part, text="".join(words[:left])))
            return kept, End.LENGTH
        left -= len(words)
        kept.append(part)
    return kept, end
