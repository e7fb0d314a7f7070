"""The engines as the control plane needs them, in the middle of a reload: its work is done in steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme

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


def written(authorities: Path, *ports: int, timeout_s: float = 2.0) -> Settings:
    """An engine `w` of replicas at these ports, one that is found, and one that rests on a file of authorities."""
    replicas = [{"id": str(port), "url": f"http://h:{port}"} for port in ports]
    found = {"kind": "vllm", "discover": {"dns": {"host": "pods", "port": 8000}}}
    secure = {"kind": "openai", "base_url": "https://private.test/v1", "ca_file": str(authorities)}
    engines = {"w": {"kind": "vllm", "replicas": replicas}, "a": found, **({"z": secure} if len(ports) > 1 else {})}
    models = {name: {"targets": [{"engine": name, "model": "x"}]} for name in engines}
    made = {"engines": engines, "models": models, "health": {"timeout_s": timeout_s}}
    return load_settings(json.dumps(made), {}).settings


async def test_what_cannot_be_made_to_its_end_leaves_those_in_use_as_they_were_and_nothing_else(
    tmp_path: Path,
) -> None:
    authorities = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authorities)
    roster = Roster(lambda members: None, 60.0)
    engines = Engines(spawn, roster, environ={})
    await engines.use(written(authorities, 1))
    engines.differs("a", MemberDifference(added=(at("0"),)))
    before = [engines.named(name) for name in "wa"]
    there = {"w": {"1": "http://h:1"}, "a": {"0": "http://h:1"}}
    later = written(authorities, 1, 2), written(authorities, 1, 2, timeout_s=3.0)
    authorities.write_text("no certificate")
    for settings in later:
        with pytest.raises(ValueError, match=r"ca\.pem cannot be used"):
            await engines.use(settings)
        assert [engines.named(name) for name in "waz"] == [*before, None]
        assert {name: replicas(engines, name) for name in "wa"} == there
        assert (len(engines._pools), engines._coming) == (1, {})  # both are at one address
    engines.differs("a", MemberDifference(added=(at("1", 3),)))
    assert (replicas(engines, "a"), len(engines._pools)) == ({"0": "http://h:1", "1": "http://h:3"}, 2)
    trustme.CA().cert_pem.write_to_path(authorities)
    await engines.use(later[1])
    assert replicas(engines, "w") == {"1": "http://h:1", "2": "http://h:2"}
    assert replicas(engines, "a") == {"0": "http://h:1", "1": "http://h:3"}
    assert len(engines._pools) == 4


async def test_a_change_that_is_cancelled_between_two_steps_leaves_nothing_either(tmp_path: Path) -> None:
    engines = Engines(spawn, Roster(lambda members: None, 60.0), environ={})
    await engines.use(written(tmp_path, 1))
    using: Any = engines._use(written(tmp_path, 1, timeout_s=3.0))
    next(using)
    assert len(engines._pools) == 1
    using.close()
    assert (replicas(engines, "w"), len(engines._pools)) == ({"1": "http://h:1"}, 1)
    await engines.use(written(tmp_path, 5))
    assert (replicas(engines, "w"), len(engines._pools)) == ({"5": "http://h:5"}, 1)
