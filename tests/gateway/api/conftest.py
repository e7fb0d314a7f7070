"""One gateway whose engines are never reached: nothing here needs an answer of theirs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from tests.scenario.gateway import AUTH, Gateway, running_gateway

LIMITED_KEY = "sk-for-chat-only"
CONFIG = {
    "auth": {
        "keys": [
            *AUTH["keys"],
            {"id": "limited", "sha256": hashlib.sha256(LIMITED_KEY.encode()).hexdigest(), "models": ["chat-small"]},
        ]
    },
    "engines": {
        "llama": {"kind": "vllm", "replicas": [{"url": "http://127.0.0.1:9"}, {"url": "http://127.0.0.1:13"}]},
        "hosted": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-upstream-secret"},
    },
    "models": {
        "chat-small": {"targets": [{"engine": "llama", "model": "upstream-small"}]},
        "chat-large": {"targets": [{"engine": "llama", "model": "upstream-large"}, {"engine": "hosted", "model": "x"}]},
        "org/with-slash:8b": {"targets": [{"engine": "hosted", "model": "y"}]},
    },
    "health": {"interval_s": 600},
    "retry": {"max_attempts": 1},
    "breaker": {"min_failures": 100_000},
}


@pytest.fixture
async def gateway(anyio_backend: object) -> AsyncIterator[Gateway]:
    async with running_gateway(CONFIG) as gateway:
        yield gateway


@pytest.fixture
def limited() -> dict[str, str]:
    """The headers of a caller who may use one model."""
    return {"authorization": f"Bearer {LIMITED_KEY}"}
