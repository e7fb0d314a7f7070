"""Values that fit a JSON schema, made up: what a tool is called with, and what a structured answer holds."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

MOST_DEPTH: Final = 8
"""A schema may hold itself; below this an object is empty and a list too."""


def value_for(schema: Mapping[str, Any], rng: random.Random) -> Any:
    """A value of a plain schema: references within it, choices, constants, enums, objects, arrays, scalars."""
    return _value(schema, schema, rng, 0)


def _value(schema: Mapping[str, Any], root: Mapping[str, Any], rng: random.Random, depth: int) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return rng.choice(schema["enum"])
    kind = schema.get("type", "object" if "properties" in schema or not depth else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    if kind == "object":
        properties = schema.get("properties")
        if depth > MOST_DEPTH or not isinstance(properties, dict):
            return {}
        return {
            name: _value(value if isinstance(value, dict) else {}, root, rng, depth + 1)
            for name, value in properties.items()
        }
    if kind == "array":
        items = schema.get("items")
        if not isinstance(items, dict) or depth > MOST_DEPTH:
            return []
        least = schema.get("minItems", 1)
        count = min(max(least, 1), 16) if isinstance(least, int) else 1
        return [_value(items, root, rng, depth + 1) for _ in range(count)]
    return _scalar(str(kind), schema)


def _scalar(kind: str, schema: Mapping[str, Any]) -> Any:
    if kind in ("integer", "number"):
        usual: float = 7 if kind == "integer" else 1.5
        least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
        if isinstance(least, (int, float)) and usual < least:
            usual = least + (1 if "minimum" not in schema else 0)
        if isinstance(most, (int, float)) and usual > most:
            usual = most
        return usual
    least = schema.get("minLength", 0)
    text = "simulated" if not isinstance(least, int) or least <= 9 else "simulated".ljust(min(least, 4096), ".")
    texts = {"date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "uuid": "00000000-0000-4000-8000-000000000000"}
    scalars: dict[str, Any] = {"boolean": True, "null": None}
    return scalars.get(kind, texts.get(str(schema.get("format")), text))


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that this one stands for: through references, and the first of a choice that is more than null."""
    for _ in range(MOST_DEPTH):
        reference = schema.get("$ref")
        choices = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(reference, str) and reference.startswith("#"):
            target: Any = root
            for part in reference[1:].split("/")[1:]:
                target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
            schema = target if isinstance(target, dict) else {}
        elif isinstance(choices, list):
            told = [choice for choice in choices if isinstance(choice, dict)]
            schema = next((choice for choice in told if choice.get("type") != "null"), told[0] if told else {})
        elif isinstance(schema.get("allOf"), list):
            whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                whole.update(_resolved(part, root) if isinstance(part, dict) else {})
            schema = whole
        else:
            return schema
    return {}
