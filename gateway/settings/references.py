"""`${VAR}`, `${VAR:-default}` and `${file:/path}` in any string value of the configuration.

Promise: a value that came from outside the file is known by its place, so that whatever is shown later shows the
reference instead. References do not nest; `$${` is a literal `${`; keys are never substituted. A variable that is set
but empty counts as unset: Docker Compose and CI hand empty ones down for every key somebody did not fill in.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engines.files import NotReadable, read_regular
from gateway.settings.errors import MOST_PROBLEMS, Path, Problem, printable, show_path

MAX_FILE_BYTES = 64 * 1024
"""The largest secret file: a service-account document is about 2 KiB, a certificate chain 16."""

_OPEN = re.compile(r"\$\$\{|\$\{")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass(slots=True)
class Resolved:
    """The tree with every reference replaced.

    `references` has the original text of each string that held one. `unset` has those that could not be replaced,
    with the names of the variables that are missing, and `problems` says so in words, in the same order.
    """

    tree: Any = None
    references: dict[Path, str] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)
    unset: dict[Path, list[str]] = field(default_factory=dict)
    problems: list[tuple[Path, Problem]] = field(default_factory=list)


def resolve_references(tree: Any, environ: Mapping[str, str], base: pathlib.Path) -> Resolved:
    """Replace references all through `tree` (which is left as it was). Relative secret files are below `base`."""
    resolved = Resolved()

    def walk(node: Any, path: Path) -> Any:
        # Recursion is safe: read_document bounds the depth.
        if isinstance(node, dict):
            return {key: walk(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value, (*path, index)) for index, value in enumerate(node)]
        if isinstance(node, str) and "${" in node:
            return _expand(node, path, environ, base, resolved)
        return node

    resolved.tree = walk(tree, ())
    return resolved


def _expand(text: str, path: Path, environ: Mapping[str, str], base: pathlib.Path, resolved: Resolved) -> str:
    parts: list[str] = []
    at = 0
    for match in _OPEN.finditer(text):
        if match.start() < at:
            _wrong(resolved, path, "holds a reference inside a reference", "references do not nest")
            return text
        parts.append(text[at : match.start()])
        at = match.end()
        if match[0] == "$${":
            parts.append("${")
            continue
        end = text.find("}", at)
        if end < 0:
            _wrong(resolved, path, "holds `${` without its `}`", "write ${NAME}, or $${ for a literal ${")
            return text
        value = _value(text[at:end], path, environ, base, resolved)
        at = end + 1
        if value is not None:
            resolved.references[path] = text
            resolved.values.append(value)
            parts.append(value)
    parts.append(text[at:])
    return "".join(parts)


def _value(body: str, path: Path, environ: Mapping[str, str], base: pathlib.Path, resolved: Resolved) -> str | None:
    if body.startswith("file:"):
        return _file(body[5:], path, base, resolved)
    match = _VARIABLE.fullmatch(body)
    if match is None:
        hint = "write ${NAME}, ${NAME:-default} or ${file:/path}; $${ is a literal ${"
        _wrong(resolved, path, "holds a reference that cannot be read", hint)
        return None
    name, default = match[1], match[2]
    value = environ.get(name) or default
    if value is None:
        names = resolved.unset.setdefault(path, [])
        if name in names or len(names) >= MOST_PROBLEMS:
            return None  # said once, or often enough
        names.append(name)
        state = "is empty" if name in environ else "is not set"
        hint = f"export {name}=..., or write ${{{name}:-default}}"
        resolved.problems.append((path, Problem(show_path(path), f"needs ${{{name}}}, which {state}", hint)))
    return value


def _file(name: str, path: Path, base: pathlib.Path, resolved: Resolved) -> str | None:
    shown = printable(name)
    try:
        # Editors and `echo` end a file with a newline, which no key has.
        return read_regular(base / name, MAX_FILE_BYTES).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except NotReadable as error:
        reason = str(error)
    hint = "mount the secret, or correct the path"
    _wrong(resolved, path, f"cannot read the file {shown}: {reason}", hint)
    return None


def _wrong(resolved: Resolved, path: Path, message: str, hint: str) -> None:
    resolved.unset.setdefault(path, [])
    resolved.problems.append((path, Problem(show_path(path), message, hint)))
