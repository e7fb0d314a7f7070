"""What the control plane and its workers say to each other survives the wire."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from engines.model import Usage
from gateway.accounts.keys import Key, packed_keys
from gateway.experiments.seen import Seen
from gateway.explanation.views import AskRouting, Decision, Explained, ReplicaFigures, Weighed
from gateway.fleet.members import Member, packed
from gateway.links.link import pack, unpack
from gateway.responses.homes import Home
from gateway.settings.sealed import Part, Sealed
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.replicas import BREAKER_OPEN
from gateway.telemetry.metrics.families.retries import RETRIES
from gateway.workers.exchange.demand import (
    AskDemand,
    Demand,
    EngineDemand,
    EngineStart,
    EngineStarts,
    ModelDemand,
    Woken,
)
from gateway.workers.exchange.messages import (
    AccessToken,
    AdapterAnswer,
    AdaptersHeld,
    AdaptersUsed,
    AdminAnswer,
    AdminRequest,
    ArmShares,
    AskAdapter,
    AskCounters,
    AskExposition,
    AskResponse,
    CacheChange,
    CacheFollowed,
    CachesChanged,
    CachesFollowed,
    Configure,
    Configured,
    Counters,
    Cover,
    Drain,
    Drained,
    Exposition,
    ExpositionPart,
    GatewaysCounted,
    Keys,
    Load,
    LoadReport,
    LoadReports,
    MembersChanged,
    ModelCard,
    ModelsKnown,
    Observed,
    PrefixesSent,
    PromptSampled,
    RemoteLoad,
    RenewCertificate,
    Renewed,
    Reopen,
    ReplicaAdapters,
    ReplicaLoad,
    ResponseHome,
    ResponseKept,
    SeriesCounted,
    ToPlane,
    ToWorker,
)
from routing.gate.observation import Assigned, Settled


def counted() -> Metrics:
    metrics = Metrics(["m"])
    metrics.series("m", "e").settle(200, 0.25, 0.1, 0.01, 0.0001, Usage(3, 4), 0.5)
    metrics.series("other").error("no_replica")
    metrics.count(RETRIES, "e", "overloaded")
    metrics.watch(BREAKER_OPEN, lambda: [(("e", "0"), 1.0)])
    return metrics


SEALED = Sealed([Part("engines", "ü", b"\x80"), Part("auth", "", b"\xff")], ["engine ü serves no model"], "ab", "cd")
TO_WORKER: list[ToWorker] = [
    Configure(SEALED, 2, [packed([Member("e", "0", "http://x")]), packed([Member("e", "1", healthy=False)])]),
    MembersChanged([Member("e", "0", draining=True), Member("e", "1", gone=True)]),
    LoadReports(2.0, [LoadReport("e", "0", 1, None, 0.5, 16_000, True)]),
    RemoteLoad([ReplicaLoad("e", "0", 2**40, 1, 2)]),
    PrefixesSent([("e", "0", [b"\xff" * 16, b""])]),
    CachesChanged([CacheChange("e", "0", b"\xff" * 16, 1), CacheChange("e", "1", b"", 0)]),
    CachesFollowed([CacheFollowed("e", "0", True, False)]),
    AskDemand(["e", "f"]),
    EngineStarts([EngineStart("e", 12.5, starting=True), EngineStart("f", 3.0, starting=True, failed=True)]),
    ModelsKnown([ModelCard("chat", 1_700_000_000, "vllm", 131_072)]),
    AdaptersHeld([ReplicaAdapters("e", "0", ["sql"]), ReplicaAdapters("e", "1", [])]),
    ModelsKnown([ModelCard("m", 1_700_000_000, "vllm", 4096), ModelCard("ü", 0, "", 0)]),
    AdapterAnswer("no replica has room for it"),
    AskCounters(),
    AskRouting("m", "/v1/embeddings", 7, None, "s", b"{}"),
    ExpositionPart(2**40, b"# HELP \xff"),
    Exposition(3),
    Keys([packed_keys([Key("ab" * 32, "id", "t", ["m"], True, -1), Key("cd" * 32, "ü", "t", None, False, 0)])]),
    AdminAnswer(200, [(b"x", b"\xff")], b"\xff"),
    ResponseHome(Home("resp_1", "m", "e", "0", "t")),
    RenewCertificate(),
    Drain(30.0),
    Reopen(),
    AccessToken("e", "secret"),
    ArmShares("id", {"canary": 0.25}),
    GatewaysCounted({"e": 3}),
    Cover(1, on=True),
]
TO_PLANE: list[ToPlane] = [
    Configured("port 80: permission denied"),
    Renewed("no key"),
    SeriesCounted(counted().snapshot().series),
    Counters(*counted().others()),
    Load([ReplicaLoad("e", "0", 12, 1, 2)]),
    PrefixesSent([("e", "0", [b"\xff" * 16, b""])]),
    PromptSampled("e", "0", "m", "/v1/chat/completions", b"\xff", b"\xff" * 8),
    AdaptersUsed([("e", "sql"), ("e", "tax")]),
    AskAdapter("e", "sql", more=True),
    Demand(
        [EngineDemand("e", 3, 1200, 2, 900, 40, 41_000, 8_000, 0.25, 20.0, 11.5, [("e-0", 3, True)], 900)],
        [ModelDemand("m", ["e"], 3, 900, 2, 950, 900, 40, 41_000, 8_000)],
    ),
    Woken(["e"]),
    AskExposition(1),
    AdminRequest("GET", b"/admin/%ff", b"", [(b"x", b"\xff")], b"\xff"),
    AskResponse("resp_1"),
    ResponseKept(Home("resp_1", "m", "e", "0", "t")),
    Drained(),
    Observed(
        Seen(
            [
                Assigned("id", 1, 2**64 - 1, (0.75, 0.25)),
                Settled("id", 0, 7, (1.0, 0.0), "ab" * 16, 3, 1.5, None, 20.0, 0.25, 2),
            ]
        )
    ),
    Explained(
        policy="prefix",
        candidates=[Weighed("e", "0", "up", 0, "ready", "", True, 5, 1.5, {"queue": 1.5})],
        loads=[ReplicaFigures("e", "0", 1, 2, 3)],
        decisions=[Decision("now", "r", "m", 1, "e", "0", "why", 1, 2, [])],
    ),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda message: type(message).__name__)
def test_a_message_to_a_worker_arrives_as_it_was_sent(message: ToWorker) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=ToWorker) == message


@pytest.mark.parametrize("message", TO_PLANE, ids=lambda message: type(message).__name__)
def test_a_message_to_the_plane_arrives_as_it_was_sent(message: ToPlane) -> None:
    sent = msgspec.msgpack.encode(message, enc_hook=pack)
    assert msgspec.msgpack.decode(sent, type=ToPlane, dec_hook=unpack) == message


def test_every_message_is_tried_here() -> None:
    assert {type(message) for message in TO_WORKER} == set(get_args(ToWorker))
    assert {type(message) for message in TO_PLANE} == set(get_args(ToPlane))


def test_what_is_for_one_side_is_nonsense_to_the_other() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(Drained()), type=ToWorker)
