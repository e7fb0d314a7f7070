"""Each fake once for the session. Everything here is of the lane `providers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.fakes.served import fake

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.providers)
            item.add_marker(pytest.mark.filterwarnings("default"))  # the SDKs' own, and sockets that they leave open


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """These modules import SDKs that only the lane's environment has."""
    wanted = "providers" in config.option.markexpr and "not providers" not in config.option.markexpr
    return None if wanted else HERE in collection_path.parents or None


@pytest.fixture(scope="session")
def gemini_url() -> Iterator[str]:
    with fake("gemini") as url:
        yield url


@pytest.fixture(scope="session")
def cohere_url() -> Iterator[str]:
    with fake("cohere") as url:
        yield url


@pytest.fixture(scope="session")
def mistral_url() -> Iterator[str]:
    with fake("mistral") as url:
        yield url


@pytest.fixture(scope="session")
def ai21_url() -> Iterator[str]:
    with fake("ai21") as url:
        yield url


@pytest.fixture(scope="session")
def bedrock_url() -> Iterator[str]:
    with fake("bedrock") as url:
        yield url


@pytest.fixture(scope="session")
def azure_url() -> Iterator[str]:
    with fake("azure") as url:
        yield url
