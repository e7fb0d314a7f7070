"""`/openapi.json`: the surface for programs, as OpenAPI 3.1. Bodies are open: unknown fields are the engine's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from gateway.api.surface import ApiMethod

_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def document(version: str, shown: Iterable[ApiMethod]) -> dict[str, Any]:
    """The whole document, of these endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in shown:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _operation(endpoint: ApiMethod) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": re.sub(r"[^A-Za-z0-9]+", "_", f"{endpoint.method.lower()}_{endpoint.path}").strip("_"),
        "tags": [endpoint.group],
        "summary": endpoint.summary,
        "responses": {
            "200": {"description": "the answer"},
            "default": {
                "description": "what went wrong",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    places = re.findall(r"\{([a-z_]+)\}", endpoint.path)
    named = [("path", place) for place in places] + [("query", name) for name in endpoint.query]
    if named:
        said["parameters"] = [
            {"name": name, "in": where, "required": True, "schema": {"type": "string"}} for where, name in named
        ]
    if endpoint.body == "json":
        asked = endpoint.example or {}
        required = ["model"] if "model" in asked else list(asked)
        schema = {"type": "object", "required": required, "properties": {name: {} for name in required}}
        said["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": endpoint.example}},
        }
    elif endpoint.body == "multipart":
        fields = {
            name: {"type": "string", "format": "binary"} if str(value).startswith("@") else {"type": "string"}
            for name, value in (endpoint.example or {}).items()
        }
        schema = {"type": "object", "required": list(fields), "properties": fields}
        said["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    if endpoint.needs_key:
        said["security"] = [{"bearer": []}, {"xApiKey": []}, {}]
    return said
