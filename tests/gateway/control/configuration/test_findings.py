"""What the operator is told of each replica when the gateway opens."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import structlog

from engines.errors import CredentialsRefused
from engines.model_list import ListedModel
from gateway.admin.replicas import ReplicaStatus
from gateway.control.asking.targets import Said
from gateway.control.configuration.findings import Finding, findings
from gateway.settings import load_settings
from tests.gateway.control.asking.test_targets import Listing, check_of
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import running_upstream

SETTINGS = load_settings(
    """
engines:
  own: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}, {url: "http://127.0.0.1:13"}]}
  hosted: {kind: openai, api_key: sk-0123456789}
models: {chat: {targets: [{engine: own}, {engine: hosted}]}}
""",
    {},
).settings
READY = [ReplicaStatus("own", "a", "ready"), ReplicaStatus("own", "b", "ready"), ReplicaStatus("hosted", "c", "ready")]


def states(failed: dict[tuple[str, str], str], said: dict[tuple[str, str], Said]) -> list[tuple[str, str]]:
    return [(found.state, found.why) for found in findings(SETTINGS, READY, failed, said)]


NOT_ASKED = ("not asked", "it has no free endpoint to ask")


def test_what_answers_its_probe_is_reachable_and_what_has_none_was_not_asked() -> None:
    assert states({}, {}) == [("reachable", ""), ("reachable", ""), NOT_ASKED]


def test_a_failed_probe_is_one_replicas_and_says_why() -> None:
    assert states({("own", "a"): "connection refused"}, {})[:2] == [
        ("unreachable", "connection refused"),
        ("reachable", ""),
    ]


@pytest.mark.parametrize("state", ["refused", "unreachable"])
def test_what_a_replica_says_is_its_own(state: str) -> None:
    assert states({}, {("own", "a"): Said(state, "why")})[:2] == [(state, "why"), ("reachable", "")]


def test_a_model_that_is_not_listed_is_wrong() -> None:
    assert states({}, {("own", "b"): Said("reachable", lacks=["x"])})[:2] == [
        ("reachable", ""),
        ("wrong model", "it has no 'x'"),
    ]
    assert states({}, {("hosted", "c"): Said("reachable")})[2] == ("reachable", "")


def test_a_launched_replica_says_what_it_does() -> None:
    starting = [ReplicaStatus("own", "own-0", "starting")]
    assert findings(SETTINGS, starting, {}, {}) == [Finding("own", "own-0", "starting")]


@pytest.mark.anyio
async def test_an_engine_that_refuses_the_key_says_so_once_and_is_asked_again() -> None:
    class Refusing(Listing):
        async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
            self.asked.append(replica_id)
            if len(self.asked) < 5:
                raise CredentialsRefused("GET /v1/models refuses the key with 401")
            return {"llama": ListedModel(), "lama": ListedModel()}

    engine = Refusing(None)
    check = check_of(engine)
    with structlog.testing.capture_logs() as lines:
        await check.look(())
        await check.look(())
        assert {key: said.state for key, said in check.said.items()} == {("e", "0"): "refused", ("e", "1"): "refused"}
        await check.look(())
    assert [line["event"] for line in lines] == ["engine_refuses"]
    assert check.said["e", "0"].state == check.said["e", "1"].state == "reachable"


@pytest.mark.anyio
async def test_a_gateway_finds_what_is_there_and_what_is_not() -> None:
    async with running_upstream() as up, running_upstream() as other:
        up.models, other.models = ["upstream-model"], ["another"]
        config = one_model([up.url, "http://127.0.0.1:9", other.url])
        async with running_gateway(config) as gateway:
            (good, bad, wrong), _ = await gateway.plane.findings()
    assert (good.state, bad.state, wrong.state) == ("reachable", "unreachable", "wrong model")
    assert "refused" in bad.why
