"""Shared by every test: asynchronous ones run on uvloop, as the gateway does.

A property is tried with as many examples as the profile says, unless it names a number of its own;
where `CI` is set, with the same ones each time. `pytest --hypothesis-profile deep` tries twenty times as many,
`brief` a third: the compiled lane does, because the same properties were tried uncompiled.
"""

import gc

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are made says how busy the machine is.
unhurried = settings(settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("light", unhurried, max_examples=50)
settings.register_profile("deep", unhurried, max_examples=1000)
settings.register_profile("brief", unhurried, max_examples=15)
settings.load_profile("light")


def pytest_collection_finish() -> None:
    """What five thousand collected tests are made of stays: no test's garbage collection need walk it."""
    gc.freeze()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": True})
