"""What a stream says, as a list of `[what, ...]`, with neighbours of one kind joined.

`["reasoning", text]`, `["text", text]`, `["refused", text]`, `["tool", name, arguments]` (a JSON value),
`["finish", reason]` (OpenAI's four), `["usage", {...}]` (tokens by OpenAI's meaning, zeros left out),
`["failed"]` (the provider says that it has), `["not understood"]` (what no table has), `["cut"]` (it just ends).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Meaning = list[list[Any]]


@dataclass(frozen=True)
class Case:
    """One stream. `name` is `provider/case`."""

    name: str
    content_type: str
    stream: bytes
    cut: bool
    """The connection is lost at its end."""
    means: Meaning

    @property
    def provider(self) -> str:
        return self.name.partition("/")[0]

    @property
    def script(self) -> str:
        return self.name.partition("/")[2]


def cases(provider: str = "*") -> Iterator[Case]:
    """All of them, or one provider's."""
    for path in sorted(HERE.glob(f"{provider}/*.json")):
        told = json.loads(path.read_text())
        stream = path.with_suffix(".stream").read_bytes()
        name = f"{path.parent.name}/{path.stem}"
        yield Case(name, told["content_type"], stream, told["cut"], told["means"])


def joined(parts: Iterable[list[Any]]) -> Meaning:
    """Neighbours of one kind as one; empty text is none."""
    meaning: Meaning = []
    for part in parts:
        if part[0] in ("text", "reasoning", "refused"):
            if not part[1]:
                continue
            if meaning and meaning[-1][0] == part[0]:
                meaning[-1] = [part[0], meaning[-1][1] + part[1]]
                continue
        meaning.append(list(part))
    return meaning


def tool(name: str, arguments: str) -> list[Any]:
    """A call by the text of its arguments; text that is no JSON stays text."""
    try:
        return ["tool", name, json.loads(arguments or "{}")]
    except json.JSONDecodeError:
        return ["tool", name, arguments]


def usage(input: int, output: int, cached: int = 0, written: int = 0, reasoning: int = 0) -> list[Any]:
    counts = {"input": input, "output": output, "cached": cached, "cache_write": written, "reasoning": reasoning}
    return ["usage", {name: count for name, count in counts.items() if count}]
