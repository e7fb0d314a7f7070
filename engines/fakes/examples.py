"""A value that a JSON schema allows, the same each time: arguments of tools and JSON answers are made of it.

Promise: what is made is valid for the schema of the keywords below; a keyword that is not known here is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEEPEST = 16
"""A schema that refers to itself ends here, in null."""


def example(schema: Mapping[str, Any], name: str = "value") -> Any:
    """A value for `schema`; a string is the name of the member that it is for."""
    return _example(schema, name, schema, DEEPEST)


def _example(schema: Mapping[str, Any], name: str, root: Mapping[str, Any], left: int) -> Any:
    if left == 0:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return _example(_referred(str(schema["$ref"]), root), name, root, left - 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _example(schema[key][0], name, root, left - 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    match str(kind).lower():  # Gemini and Cohere also take them in capitals
        case "object":
            properties = schema.get("properties") or {}
            wanted = schema.get("required") or properties
            return {key: _example(properties.get(key, {}), key, root, left - 1) for key in wanted}
        case "array":
            count = max(int(schema.get("minItems", 1)), 0)
            return [_example(schema.get("items") or {}, name, root, left - 1) for _ in range(count)]
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return float(schema.get("minimum", 0.5))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return name.ljust(int(schema.get("minLength", 0)), "x")


def _referred(pointer: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    at: Any = root
    for step in filter(None, pointer.removeprefix("#").split("/")):
        at = at.get(step, {}) if isinstance(at, Mapping) else {}
    return at if isinstance(at, Mapping) else {}
