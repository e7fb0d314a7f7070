"""YAML text to plain values, with the place of each, and nothing clever.

Promise: a document that passes holds only dict, list, str, int, float, bool and None, at most `MAX_DEPTH` deep, and
means what it looks like: YAML 1.2's core scalars (`off`, `no`, `1:30`, `010` and `2026-01-01` are not turned into
booleans, sexagesimals, octals and dates), no aliases (so no alias bombs), no tags, no key twice. The tree is built
from parser events without recursion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from gateway.settings.errors import Path, Problem, show_path

MAX_BYTES = 1024 * 1024
"""A thousand models with ten targets each are about 500 KiB."""
MAX_DEPTH = 32
"""The schema needs 8."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml parses about ten times faster

_CONSTANTS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# At most 30 digits: int() refuses 4,301 of them, and no field takes more than 19.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})")
_EXPONENT = r"[eE][-+]?[0-9]{1,3}"
_FLOAT = re.compile(rf"[-+]?((\.[0-9]{{1,30}}|[0-9]{{1,30}}\.[0-9]{{0,30}})({_EXPONENT})?|[0-9]{{1,30}}{_EXPONENT})")


class BadDocument(Exception):
    """The text is no usable YAML; `problem` says where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class Document:
    """The values, and for each path the line (from 1) where it stands."""

    tree: Any
    lines: dict[Path, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not been read."""

    value: dict[str, Any] | list[Any]
    path: Path
    key: str | None = None


def read_document(text: str) -> Document:
    """Parse one YAML document.

    Raises:
        BadDocument: syntax, a second document, an alias, a tag, a repeated key, too deep or too large.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise BadDocument(Problem("", f"is larger than {MAX_BYTES // 1024} KiB", "split it, or generate less"))
    document = Document(None)
    try:
        _build(text, document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = _syntax(error.problem or "cannot be parsed", mark)
    except (yaml.YAMLError, UnicodeError):
        # The reader's own words quote the byte; where it is in a 1.1 MB file they do not say.
        problem = Problem("", "holds a character that YAML does not allow (a control character or broken UTF-8)")
    else:
        return document
    raise BadDocument(problem)


def _build(text: str, document: Document) -> None:
    stack: list[_Open] = []
    documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        mark: Any = event.start_mark  # never None from a parser
        line, column = mark.line + 1, mark.column + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refused("", "holds a second document", "keep one: remove the line `---`", line, column)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            top = stack[-1] if stack else None
            path = _place(top)
            shown = show_path(path)
            if isinstance(event, yaml.AliasEvent):
                raise _refused(shown, "uses a YAML alias (*name)", "write the value out", line, column)
            if getattr(event, "tag", None):
                hint = "remove it, or quote a value that starts with !"
                raise _refused(shown, "uses a YAML tag (!name)", hint, line, column)
            if top is not None and isinstance(top.value, dict) and top.key is None:
                if not isinstance(event, yaml.ScalarEvent):
                    raise _refused(shown, "has a key that is no plain text", "keys are names", line, column)
                key_path = (*top.path, event.value)
                if event.value in top.value:
                    hint = f"the first is on line {document.lines[key_path]}; keep one"
                    raise _refused(show_path(key_path), "is written twice", hint, line, column)
                top.key = event.value
                document.lines[key_path] = line
                continue
            document.lines.setdefault(path, line)
            value: Any
            if isinstance(event, yaml.ScalarEvent):
                value = _scalar(event.value) if event.implicit[0] else event.value
            else:
                if len(stack) >= MAX_DEPTH:
                    raise _refused(shown, f"is nested deeper than {MAX_DEPTH}", "", line, column)
                value = {} if isinstance(event, yaml.MappingStartEvent) else []
                stack.append(_Open(value, path))
            _put(top, value, document)


def _place(top: _Open | None) -> Path:
    if top is None:
        return ()
    if isinstance(top.value, list):
        return (*top.path, len(top.value))
    return top.path if top.key is None else (*top.path, top.key)


def _put(top: _Open | None, value: Any, document: Document) -> None:
    if top is None:
        document.tree = value
    elif isinstance(top.value, list):
        top.value.append(value)
    else:
        assert top.key is not None
        top.value[top.key] = value
        top.key = None


def _scalar(text: str) -> str | int | float | bool | None:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _refused(path: str, message: str, hint: str, line: int, column: int) -> BadDocument:
    return BadDocument(Problem(path, message, hint, line=line, column=column))


def _syntax(words: str, mark: Any) -> Problem:
    hint = ""
    if "nesting depth" in words:  # libyaml looks ahead, and has a limit of its own, before it hands us the first event
        return Problem("", f"is nested deeper than {MAX_DEPTH}")
    if "cannot start any token" in words:
        hint = "indent with spaces, and quote a value that starts with a special character such as @, ` or %"
    elif "mapping values are not allowed" in words:
        hint = "check the indentation, and quote a value that holds ': '"
    elif "',' or ']'" in words or "',' or '}'" in words:
        hint = "a bracket or brace that was opened on this line or above may not be closed"
    elif "block end" in words or "block mapping" in words:
        hint = "check the indentation and quotes on this line and the one above"
    # Never the mark's snippet: it quotes the line, and the line may hold a key.
    if mark is None:
        return Problem("", f"is not valid YAML: {words}", hint)
    return Problem("", f"is not valid YAML: {words}", hint, line=mark.line + 1, column=mark.column + 1)
