"""The engines as the control plane needs them, in the middle of a reload: its work is done in steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engines.port import Replica
from gateway.control.engines import Engines
from gateway.control.membership import MemberDifference
from gateway.control.roster import Roster
from gateway.settings import Settings, load_settings

pytestmark = pytest.mark.anyio


def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    raise AssertionError(f"{name} was started, and nobody calls an engine here")


def settings(timeout_s: float) -> Settings:
    """Two engines that are found, and are others where a probe has another timeout."""
    found = {"kind": "vllm", "discover": {"dns": {"host": "pods", "port": 8000}}}
    models = {name: {"targets": [{"engine": name, "model": "x"}]} for name in "ab"}
    made = {"engines": {"a": found, "b": found}, "models": models, "health": {"timeout_s": timeout_s}}
    return load_settings(json.dumps(made), {}).settings


def at(id: str, port: int = 1) -> Replica:
    return Replica(id, f"http://h:{port}")


def replicas(engines: Engines, name: str) -> dict[str, str]:
    engine = engines.named(name)
    assert engine is not None
    return {one.id: one.url for one in engine.replicas}


@pytest.mark.parametrize("timeout_s", [2.0, 3.0])
async def test_what_is_found_in_the_middle_of_a_reload_is_asked_and_what_leaves_is_not(timeout_s: float) -> None:
    engines = Engines(spawn, Roster(lambda members: None, 60.0))
    await engines.use(settings(2.0))
    for name in "ab":
        engines.differs(name, MemberDifference(added=(at("0"), at("1"))))
    before = engines.named("a")
    using = engines._use(settings(timeout_s))
    next(using)  # a is made anew, if it is another, and b is not yet
    for name in "ab":
        engines.differs(name, MemberDifference(added=(at("1", 2), at("2")), removed=("0",)))
        assert replicas(engines, name) == {"1": "http://h:2", "2": "http://h:1"}
    for _ in using:
        pass
    for name in "ab":
        assert replicas(engines, name) == {"1": "http://h:2", "2": "http://h:1"}
    assert (engines.named("a") is before) == (timeout_s == 2.0)
    assert engines._coming == {}


async def test_so_are_launched_ones_that_are_ready_then() -> None:
    engines = Engines(spawn, Roster(lambda members: None, 60.0))
    await engines.use(settings(2.0))
    engines.observed({"a": [at("0"), at("1")]})
    using = engines._use(settings(3.0))
    next(using)
    engines.observed({"a": [at("1"), at("2")], "gone": [at("0")]})
    for _ in using:
        pass
    assert set(replicas(engines, "a")) == {"1", "2"}
