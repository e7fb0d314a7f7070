"""A tool's schema that all tests share."""

from __future__ import annotations

from typing import Any

CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION: dict[str, Any] = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
TWICE = "get_weather and get_weather"
