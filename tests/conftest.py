"""Shared by every test: asynchronous ones run on uvloop, as the gateway does."""

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": True})
