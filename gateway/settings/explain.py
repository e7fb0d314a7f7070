"""pydantic's complaints, retold: which key, what is wrong with it, and what would be right.

Promise: nothing of the input is quoted but names of unknown keys, and `got` as the file itself says it, where the
field cannot hold a secret.
"""

from __future__ import annotations

import json
import re
import types
import typing
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from engines.registry import KINDS, kind_of
from engines.settings.fields import NAME_RULE, without_request
from gateway.settings.errors import MOST_PROBLEMS, Path, Problem, listing, nearest, printable, show_path
from gateway.settings.schema import Settings
from gateway.settings.sections.models import Model
from gateway.settings.sections.targets import Target

_MAY_BE_SECRET = frozenset(
    {
        "access_key_id",
        "secret_access_key",
        "session_token",
        "api_key",
        "api_keys",
        "proxy",
        "headers",
        "env",
        "sha256",
        "args",
    }
)
UNKNOWN_KEY = "is not a known key"
BAD_NAME = "is not a usable name"
_PLAIN_WORDS = {
    "dict_type": "should be a mapping (key: value)",
    "model_type": "should be a mapping (key: value)",
    "model_attributes_type": "should be a mapping (key: value)",
    "tuple_type": "should be a list",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "missing": "is missing",
    "int_from_float": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "string_unicode": "should be valid text",
    "string_pattern_mismatch": "has characters or a form that do not fit",
}

_DECIMAL_SIZE = re.compile(r"(\d{1,12}) *([kKmMgG])[bB]?")


def explain(error: ValidationError, tree: Any) -> list[tuple[Path, Problem]]:
    """One problem per complaint, with the path in `tree`, the document as it was validated."""
    problems = []
    details = error.errors(include_url=False, include_input=False, include_context=False)
    for detail in details[:MOST_PROBLEMS]:
        of_a_key = _is_of_a_key(detail["loc"], detail["type"], tree)
        path = _document_path(detail["loc"][:-1] if of_a_key else detail["loc"], detail["type"])
        if detail["type"] == "too_short" and value_at(tree, path):
            continue  # pydantic counts the items that are right; the wrong ones have complaints of their own
        if of_a_key:
            hint = "an environment variable's name" if "env" in path else NAME_RULE
            if path[0] == "models" and len(path) == 2:
                hint += "; or the beginning of names and a star at the end: vendor/*"
            problems.append((path, Problem(show_path(path), BAD_NAME, hint)))
        else:
            problems.append((path, _problem(path, detail["type"], detail["msg"], tree)))
    return problems


def _is_of_a_key(loc: tuple[int | str, ...], kind: str, tree: Any) -> bool:
    """Whether the complaint is of a key itself: pydantic says so by `[key]` behind it, as a document may."""
    if not loc or loc[-1] != "[key]" or kind == "extra_forbidden":
        return False
    inside = value_at(tree, loc[:-1])
    return kind.startswith("string_") or not (isinstance(inside, dict) and "[key]" in inside)


def _document_path(loc: tuple[int | str, ...], kind: str) -> Path:
    """pydantic's location without the tag of the engine union, which is its own addition."""
    path = list(loc)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        path.append("kind")
    elif len(path) > 2 and path[0] == "engines":
        del path[2]
    return tuple(path)


def _problem(path: Path, kind: str, words: str, tree: Any) -> Problem:
    shown = show_path(path)
    if kind == "extra_forbidden":
        return _unknown_key(path, tree)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        said = value_at(tree, path)
        near = nearest(said, KINDS) if isinstance(said, str) else None
        missing = kind == "union_tag_not_found"
        message = "is missing" if missing else "is not a kind of engine"
        hint = f"did you mean {near}?" if near else f"one of {', '.join(KINDS)}"
        return Problem(shown, message, hint)
    field = field_at(path, tree)
    hint = (field.description or "") if field is not None else ""
    if kind == "penstock" and section_at(path, tree) is not None:
        hint = ""  # a rule over a whole section says all there is; the field's hint is of what holds the section
    if kind == "string_type":
        value = value_at(tree, path)
        if isinstance(value, (dict, list)):
            message = "should be text"
        else:
            message, hint = "should be text", "put it in quotes" if value is not None else hint
    elif kind in _PLAIN_WORDS:
        message = _PLAIN_WORDS[kind]
        if kind == "int_parsing" and (size := _DECIMAL_SIZE.fullmatch(str(value_at(tree, path)))):
            hint = f"bytes are counted in units of 1024: {size[1]} {size[2].upper()}iB"
    else:
        message = words.replace("Input should", "should").replace("String should", "should")
        message = message[:1].lower() + message[1:]
    return Problem(shown, message, hint)


def _unknown_key(path: Path, tree: Any) -> Problem:
    key = str(path[-1])
    section = section_at(path[:-1], tree)
    known = list(section.model_fields) if section is not None else []
    near = nearest(key, known)
    if there := _elsewhere(key, path):
        hint = there
    elif near:
        hint = f"did you mean {near}?"
    elif section is not None and section in KINDS.values():
        kinds = [name for name, kind in KINDS.items() if key in kind.model_fields]
        hint = f"it belongs to kind {' or '.join(kinds)}" if kinds else f"known: {listing(known, 30)}"
    elif len(path) == 1 or known:
        hint = f"known: {listing(known, 30)}"
    else:
        hint = ""
    return Problem(show_path(path), UNKNOWN_KEY, hint)


def _elsewhere(key: str, path: Path) -> str:
    """Where a key of this very name stands, or what is written in its place; empty where nobody knows."""
    if path == ("model_list",):
        return "that is LiteLLM's; docs/coming-from.md says what its keys are called here"
    if path == ("server", "listen"):
        return "write host and port: server: {host: 0.0.0.0, port: 8080}"
    if path[0] == "models" and len(path) == 3 and key == "arms":
        return "it belongs to the model's experiment: models.NAME.experiment.arms"
    if len(path) == 1 and (one := key if key in Model.model_fields else key.removesuffix("s")) in Model.model_fields:
        return f"it belongs to a model: models.NAME.{one}"
    if len(path) > 1 and key in Settings.model_fields:
        return f"it stands at the top of the file: `{key}:` without indentation"
    if len(path) > 1 and (path[0] != "models" or len(path) > 3) and key in Model.model_fields:
        return f"it belongs to a model: models.NAME.{key}"
    if (
        len(path) > 1
        and (path[0] != "engines" or len(path) > 3)
        and any(key in kind.model_fields for kind in KINDS.values())
    ):
        return f"it belongs to an engine: engines.NAME.{key}"
    if path[0] == "models" and len(path) == 3 and key in Target.model_fields:
        return f"it belongs to a target: models.NAME.targets[].{key}"
    return ""


def section_at(path: Path, tree: Any) -> type[BaseModel] | None:
    """The model that describes the mapping at `path`, or None where there is none."""
    annotation: Any = Settings
    for depth, part in enumerate(path):
        annotation = _inside(annotation, part, value_at(tree, path[:depth]))
    return _model(annotation, value_at(tree, path))


def field_at(path: Path, tree: Any) -> FieldInfo | None:
    """The field at `path`; of an item, the field that holds the list or mapping."""
    for end in range(len(path), 0, -1):
        section = section_at(path[: end - 1], tree)
        if section is not None:
            return section.model_fields.get(str(path[end - 1]))
    return None


def _inside(annotation: Any, part: str | int, value: Any) -> Any:
    model = _model(annotation, value)
    if model is not None:
        field = model.model_fields.get(str(part))
        return field.annotation if field is not None else None
    for option in _options(annotation):
        origin, args = typing.get_origin(option), typing.get_args(option)
        if origin is dict:
            return args[1]
        if origin is tuple:
            return args[0]
    return None


def _model(annotation: Any, value: Any) -> type[BaseModel] | None:
    models = [o for o in _options(annotation) if isinstance(o, type) and issubclass(o, BaseModel)]
    if len(models) > 1:
        return kind_of(value) if isinstance(value, dict) else None
    return models[0] if models else None


def _options(annotation: Any) -> list[Any]:
    """The members of a union, bare of Annotated."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [inner for option in typing.get_args(annotation) for inner in _options(option)]
    return [annotation]


def value_at(tree: Any, path: Path) -> Any:
    """What the tree holds at `path`; None where it holds nothing."""
    for part in path:
        if isinstance(tree, dict):
            tree = tree.get(part)
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            return None
    return tree


def with_got(problem: Problem, path: Path, written: Any) -> Problem:
    """`problem` with what the file says there, as `written` (references unresolved), if that can be shown."""
    if problem.message in (UNKNOWN_KEY, BAD_NAME) or not path or _MAY_BE_SECRET.intersection(map(str, path)):
        return problem
    value = value_at(written, path)
    wrong_type = problem.message.startswith("should be")
    if isinstance(value, dict):
        got = "a mapping" if value and wrong_type else None
    elif isinstance(value, list):
        got = "a list" if value and wrong_type else None
    elif isinstance(value, str):
        # A URL may hold credentials where they do not belong.
        hidden = "://" in value and ("@" in value or "?" in value or "#" in value)
        got = None if hidden or not value else printable(json.dumps(value, ensure_ascii=False), 80)
    else:
        got = None if value is None else json.dumps(value)
    meant = "" if got is None else _base_of(path, value, written)
    return replace(problem, got=got, hint=f"did you mean {printable(meant, 120)}?" if meant else problem.hint)


def _base_of(path: Path, value: Any, written: Any) -> str:
    """The base of an engine's URL that was written with the path of a request; empty where it is another mistake."""
    if path[0] != "engines" or not isinstance(value, str) or not value.startswith(("http://", "https://")):
        return ""
    base = without_request(value)
    if base == value.rstrip("/"):
        return ""
    engine = value_at(written, path[:2])
    kind = kind_of(engine) if isinstance(engine, dict) else None
    return base if kind is not None and kind.written_with_version else base.removesuffix("/v1")
