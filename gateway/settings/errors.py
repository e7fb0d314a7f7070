"""What is wrong with a configuration, all of it at once, in words for whoever is on call.

Promise: nothing here ever holds a value taken from the environment or from a secret file, nor a literal of a field
that holds secrets. Text from the file is escaped before it is shown, so a file cannot drive the terminal.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""A place in the document: mapping keys and list positions from the root."""

SHOWN_PROBLEMS = 50
"""More than a screen or two helps nobody; the rest is counted."""

MOST_PROBLEMS = 200
"""Each stage stops looking here: a megabyte of nonsense would otherwise take minutes to explain."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:/@+-]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `message` completes the sentence that `path` starts."""

    path: str
    message: str
    hint: str = ""
    """What would be right; empty when the message already says it."""
    got: str | None = None
    """What the file says there, as it is written in the file; None when it is missing, long or might be secret."""
    line: int | None = None
    column: int | None = None


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has every one found; `source` names the file."""

    def __init__(self, problems: tuple[Problem, ...], source: str = "configuration") -> None:
        super().__init__(problems, source)
        self.problems = problems
        self.source = source

    def __str__(self) -> str:
        return format_problems(self)


def format_problems(error: ConfigError) -> str:
    """The text for a terminal: one block per problem, in the order of the file."""
    count = len(error.problems)
    lines = [f"{printable(error.source)}: {count} problem{'' if count == 1 else 's'}"]
    for problem in error.problems[:SHOWN_PROBLEMS]:
        where = f"line {problem.line}" if problem.line is not None else ""
        if where and problem.column is not None:
            where += f", column {problem.column}"
        head = problem.path or "the file"
        lines += ["", f"  {head}  ({where})" if where else f"  {head}"]
        lines.append(f"    {problem.message}" + (f"; the file says {problem.got}" if problem.got else ""))
        if problem.hint:
            lines.append(f"    hint: {problem.hint}")
    if count > SHOWN_PROBLEMS:
        lines += ["", f"  and {count - SHOWN_PROBLEMS} more"]
    return "\n".join(lines)


def show_path(path: Path) -> str:
    """`engines.llama.replicas[0].url`; a key with a dot, a space or the like is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _PLAIN_KEY.fullmatch(part) else json.dumps(part)
            key = key if len(key) <= 80 else key[:77] + "..."
            text += f".{key}" if text else key
    return text


def printable(text: str, limit: int = 200) -> str:
    """`text` with control characters escaped, cut at `limit`."""
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def nearest(word: str, known: Collection[str]) -> str | None:
    """The known name most like `word`, or None when none is close."""
    close = difflib.get_close_matches(word[:80].lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    return next((name for name in known if name.lower() == close[0]), None) if close else None


def listing(names: Collection[str], limit: int = 12) -> str:
    """`a, b, c`, cut after `limit`."""
    shown = [printable(name, 60) for name in list(names)[:limit]]
    return ", ".join(shown) + (", ..." if len(names) > limit else "")
