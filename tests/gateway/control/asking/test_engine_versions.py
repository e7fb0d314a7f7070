"""Replicas are asked now and then which version of their engine they are, and only what is new is told."""

from __future__ import annotations

import pytest

from engines.errors import ConnectFailed
from engines.version import version_in
from gateway.control.asking.engine_versions import MOST_SHOWN, EngineVersions
from gateway.store.messages import SeenVersion
from gateway.telemetry.metrics import OTHER
from tests.gateway.flights import FakeEngine
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio
NOW_MS = 1_780_000_000_000


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"version": "0.11.0"}', "0.11.0"),
        (b'{"version": "0.11.1rc2.dev5+gab12cd.cu129", "more": 1}', "0.11.1rc2.dev5+gab12cd.cu129"),
        (b'{"version": 11}', ""),
        (b'{"version": null}', ""),
        (b'{"version": "two words"}', ""),
        (b'{"version": "a\\n"}', ""),
        (b'{"version": "%b"}' % (b"1" * 65), ""),
        (b'["0.11.0"]', ""),
        (b"\xff", ""),
        (b"<html>", ""),
    ],
)
def test_a_version_is_a_word_that_can_be_a_label(body: bytes, version: str) -> None:
    assert version_in(body) == version


class Versioned(FakeEngine):
    def __init__(self, name: str, *versions: str) -> None:
        super().__init__(name, len(versions), (), True)
        self.versions: dict[str, str] = dict(zip([one.id for one in self.replicas], versions, strict=True))
        self.asked: list[str] = []

    async def version(self, replica_id: str) -> str:
        self.asked.append(replica_id)
        said = self.versions[replica_id]
        if said == "away":
            raise ConnectFailed("refused")
        return said


class Case:
    def __init__(self, *engines: Versioned) -> None:
        self.engines = list(engines)
        self.told: list[list[SeenVersion]] = []
        self.now_s = NOW_MS / 1e3
        watched = lambda: [(one.name, one) for one in self.engines]  # noqa: E731 - as those beside it
        self.versions = EngineVersions(watched, self.told.append, lambda: self.now_s)


async def test_what_is_new_is_told_once_with_its_time() -> None:
    engine = Versioned("llama", "1", "away", "")
    first, second, _ = engine.versions
    case = Case(engine)
    await case.versions.look()
    await case.versions.look()
    assert case.told == [[SeenVersion("llama", first, "1", NOW_MS)]]
    case.now_s += 60
    engine.versions |= {first: "2", second: "1"}
    await case.versions.look()
    seen = [SeenVersion("llama", first, "2", NOW_MS + 60_000), SeenVersion("llama", second, "1", NOW_MS + 60_000)]
    assert case.told[1] == seen
    assert list(case.versions.known) == seen
    assert sorted(case.versions.figures()) == [(("llama", "1"), 1.0), (("llama", "2"), 1.0)]
    engine.versions[first] = "3"
    await case.versions.look()
    assert sorted(case.versions.figures()) == [(("llama", "1"), 1.0), (("llama", "3"), 1.0)]


async def test_a_replica_that_is_down_is_not_asked_and_one_that_has_left_is_forgotten() -> None:
    engine = Versioned("llama", "1", "1")
    first, second = engine.versions
    case = Case(engine)
    await case.versions.look({("llama", second)})
    assert engine.asked == [first]
    engine.versions[first] = "away"
    await case.versions.look()
    assert case.versions.figures() == [(("llama", "1"), 2.0)]
    case.engines.clear()
    await case.versions.look()
    assert (list(case.versions.known), case.versions.figures()) == ([], [])
    assert case.told[-1] == [SeenVersion("llama", replica, "", NOW_MS) for replica in (first, second)]
    await case.versions.look()
    assert len(case.told) == 3


async def test_metrics_name_some_versions_of_an_engine_and_the_rest_together() -> None:
    case = Case(Versioned("llama", *["1"] * 2, *[f"0.{number}" for number in range(MOST_SHOWN + 2)]))
    await case.versions.look()
    figures = dict(case.versions.figures())
    assert (figures["llama", "1"], figures["llama", OTHER], len(figures)) == (2.0, 3.0, MOST_SHOWN + 1)


async def test_a_gateway_shows_what_its_engines_say() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        await gateway.metric(1.0, "penstock_replica_versions", engine="a", version="0.11.0")
