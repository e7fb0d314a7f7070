"""Fakes that many tests share; one that counts gets its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.fakes.served import fake


@pytest.fixture(scope="session")
def openai_url() -> Iterator[str]:
    with fake("openai") as url:
        yield url


@pytest.fixture(scope="session")
def anthropic_url() -> Iterator[str]:
    with fake("anthropic") as url:
        yield url


@pytest.fixture(scope="session")
def gemini_url() -> Iterator[str]:
    with fake("gemini") as url:
        yield url
