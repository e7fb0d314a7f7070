"""values.schema.json: what the chart takes, closed, so that a mistyped key is an error that names it.

`config` is the gateway's own settings, from their pydantic models: one documentation, and `helm install` refuses what
`penstock check-config` would, as far as a schema can say it. Ranges and names are kept; a string is taken wherever one
may stand for a value (`${PORT}`, `16 MiB`), and what the gateway fills in by itself is not required.

Draft-07 and nothing newer: Helm 3 passes over what it does not know, such as `unevaluatedProperties`.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import yaml

from gateway.settings.schema import Settings
from helm.tools.kubernetes import KEPT

WRITTEN = pathlib.Path(__file__).parents[1] / "penstock" / "values.schema.json"
_OWN = pathlib.Path(__file__).with_name("values.schema.yaml")

_RENAMED = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_KEPT = frozenset(
    {
        "type",
        "enum",
        "const",
        "description",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    }
)


def schema() -> str:
    """The text of the file."""
    own = yaml.safe_load(_OWN.read_text())
    definitions = {**own.pop("definitions"), **json.loads(KEPT.read_text()), **settings()}
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", **own, "definitions": definitions}
    _close(whole)
    whole["patternProperties"] = {"^x-": {}}
    return json.dumps(whole, indent=1) + "\n"


def settings() -> dict[str, Any]:
    """The gateway's settings as definitions."""
    source = Settings.model_json_schema()
    named = source.pop("$defs")
    made = {name: _converted(node) for name, node in {**named, "Settings": source}.items()}
    removable: set[str] = set()
    _take_null(made, removable)
    for name in removable:
        _or_null(made[name])
    return made


def _take_null(node: Any, removable: set[str]) -> None:
    """Where a name stands for something, null takes it away again, as a later file of values does; the chart leaves it
    out. `removable` is told the definitions that are so named."""
    if isinstance(node, list):
        for item in node:
            _take_null(item, removable)
    elif isinstance(node, dict):
        values = list(node.get("patternProperties", {}).values())
        if isinstance(node.get("additionalProperties"), dict):
            values.append(node["additionalProperties"])
        for value in values:
            if "$ref" in value:  # in its definition: whoever complains of an `anyOf` names no key
                removable.add(value["$ref"].removeprefix("#/definitions/"))
            else:
                _or_null(value)
        for value in node.values():
            _take_null(value, removable)


def _or_null(node: dict[str, Any]) -> None:
    types = node["type"] if isinstance(node["type"], list) else [node["type"]]
    node["type"] = [*types, *(["null"] if "null" not in types else [])]


def _converted(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": node["$ref"].replace("#/$defs/", "#/definitions/")}
    if "discriminator" in node:
        return _one_of_kinds(node["discriminator"])
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:  # a key that may be left out
        return {**_converted(options[0]), **({"description": node["description"]} if "description" in node else {})}
    if options:
        return {"anyOf": [_converted(option) for option in options]}
    node = {_RENAMED.get(key, key): value for key, value in node.items()}
    made = {key: value for key, value in node.items() if key in _KEPT}
    for key in ("properties", "patternProperties"):
        if key in node:
            made[key] = {name: _converted(value) for name, value in node[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            made[key] = _converted(node[key])
    if made.get("type") in ("integer", "number", "boolean"):
        made["type"] = [made["type"], "string"]  # ${NAME}, or a size in words
    if "enum" in made:  # a reference may stand for one of them; the gateway says what is wrong with another
        return {
            **{key: value for key, value in made.items() if key != "enum"},
            "anyOf": [
                {"enum": made["enum"]},
                {"type": "string", "pattern": r"\$\{"},
            ],
        }
    return made


def _one_of_kinds(discriminator: dict[str, Any]) -> dict[str, Any]:
    """By `kind`, so that a complaint is about the keys of that kind alone."""
    key, kinds = discriminator["propertyName"], discriminator["mapping"]
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": sorted(kinds)}},
        "additionalProperties": True,
        "allOf": [
            {
                "if": {"type": "object", "properties": {key: {"const": kind}}, "required": [key]},
                "then": {"$ref": reference.replace("#/$defs/", "#/definitions/")},
            }
            for kind, reference in sorted(kinds.items())
        ],
    }


def _close(node: Any) -> None:
    """No object takes a key that it does not name."""
    if isinstance(node, list):
        for item in node:
            _close(item)
    elif isinstance(node, dict):
        if "object" in node.get("type", "") and ("properties" in node or "patternProperties" in node):
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _close(value)
