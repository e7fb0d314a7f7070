"""A plain HTTP call of a fake: what no SDK would send."""

from __future__ import annotations

from typing import Any

import httpx

KEYS = {
    "openai": {"authorization": "Bearer key"},
    "anthropic": {"x-api-key": "key", "anthropic-version": "2023-06-01"},
}


def ask(url: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    """POST `body`: bytes as they are, anything else as JSON."""
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    with httpx.Client(trust_env=False) as client:
        return client.post(url + path, headers=headers, **content)
