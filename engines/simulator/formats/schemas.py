"""Values that fit a JSON schema, made up: what a tool is called with, and what a structured answer holds."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

MOST_DEPTH: Final = 8
"""A schema may hold itself; below this an object is empty and a list too."""
MOST_VISITS: Final = 2_000
"""Schemas that one value looks at: references fan out, so that depth alone bounds nothing."""


def value_for(schema: Mapping[str, Any], rng: random.Random) -> Any:
    """A value of a plain schema: references within it, choices, constants, enums, objects, arrays, scalars.

    Any schema has one: what nests deeper than ``MOST_DEPTH`` is empty, what comes after ``MOST_VISITS`` is left out.
    """
    return _Maker(schema, rng).value(schema, 0)


class _Maker:
    """One value in the making, and how many schemas it may still look at."""

    __slots__ = ("_rng", "_root", "_visits_left")

    def __init__(self, root: Mapping[str, Any], rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._visits_left = MOST_VISITS

    def value(self, schema: Mapping[str, Any], depth: int) -> Any:
        self._visits_left -= 1
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._rng.choice(schema["enum"])
        kind = schema.get("type", "object" if "properties" in schema or not depth else "string")
        if isinstance(kind, list):
            kind = kind[0] if kind else "null"
        if kind == "object":
            properties = schema.get("properties")
            if not self._may_go_below(depth) or not isinstance(properties, dict):
                return {}
            return {
                name: self.value(value if isinstance(value, dict) else {}, depth + 1)
                for name, value in properties.items()
                if self._visits_left > 0
            }
        if kind == "array":
            items = schema.get("items")
            if not isinstance(items, dict) or not self._may_go_below(depth):
                return []
            least = schema.get("minItems", 1)
            count = min(max(least, 1), 16) if isinstance(least, int) else 1
            return [self.value(items, depth + 1) for _ in range(count) if self._visits_left > 0]
        return _scalar(str(kind), schema)

    def _may_go_below(self, depth: int) -> bool:
        return depth <= MOST_DEPTH and self._visits_left > 0

    def _resolved(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """The schema that this one stands for: through references, and the first of a choice that is more than null."""
        for _ in range(MOST_DEPTH):
            if not self._may_go_below(depth):
                return {}
            self._visits_left -= 1
            reference = schema.get("$ref")
            choices = schema.get("anyOf") or schema.get("oneOf")
            if isinstance(reference, str) and reference.startswith("#"):
                schema = self._at(reference)
            elif isinstance(choices, list):
                told = [choice for choice in choices if isinstance(choice, dict)]
                schema = next((choice for choice in told if choice.get("type") != "null"), told[0] if told else {})
            elif isinstance(schema.get("allOf"), list):
                whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    whole.update(self._resolved(part, depth + 1) if isinstance(part, dict) else {})
                schema = whole
            else:
                return schema
        return {}

    def _at(self, reference: str) -> Mapping[str, Any]:
        target: Any = self._root
        for part in reference[1:].split("/")[1:]:
            target = target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        return target if isinstance(target, dict) else {}


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
