"""Thousands of replicas come and go, each under a name of its own, and what knows them keeps as much as after some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from engines.port import Replica
from gateway import clock
from gateway.control.asking.asked import Asked
from gateway.control.asking.health import HealthBoard
from gateway.control.membership import Found, MemberDifference, Observed
from gateway.control.roster import Roster
from gateway.control.scaling.cluster.replicas import ClusterReplicas
from gateway.fleet.members import Member
from gateway.fleet.steps import at_once
from gateway.kubernetes.slice_events import SliceEvents
from gateway.kubernetes.slices import ServiceReplicas
from tests.gateway.fleet.fleets import Fleets
from tests.gateway.fleet.test_live import document, told
from tests.gateway.kubernetes.api_server import endpoint
from tests.gateway.kubernetes.test_pool import found, pod
from tests.gateway.kubernetes.test_slice_events import line
from tests.members import kept_by

pytestmark = pytest.mark.anyio

WARM, LIVES = 50, 2_000
AT_MOST = 200
"""More than before, however it happens to lie: for one member of each it would be ten times as many."""


def names() -> Iterator[str]:
    return (f"pod-{number:06}" for number in count())


def lived(root: Any, life: Callable[[str], None], lives: int = LIVES) -> int:
    """How much more is kept after so many lives than after some."""
    coming = names()
    for _ in range(WARM):
        life(next(coming))
    before = kept_by(root)
    for _ in range(lives):
        life(next(coming))
    return kept_by(root) - before


def test_something_that_forgets_nothing_would_be_found() -> None:
    kept: dict[str, list[str]] = {}
    assert lived(kept, lambda name: kept.update({name: []})) == LIVES


def test_slices_of_a_service() -> None:
    replicas, reads = ServiceReplicas(None), SliceEvents()

    def life(name: str) -> None:
        for ready, terminating in ((False, False), (True, False), (False, True)):
            pods = endpoint("stays", "10.0.0.1"), endpoint(name, "10.0.0.2", ready=ready, terminating=terminating)
            event = reads.read(line(*pods, name="s"))
            replicas.changed("s", event.object)
        own = reads.read(line(endpoint(name, "10.0.0.2"), name=name))
        replicas.changed(name, own.object)
        reads.read(line(name=name, type="DELETED"))
        replicas.gone(name)
        replicas.changed("s", reads.read(line(endpoint("stays", "10.0.0.1"), name="s")).object)

    assert lived((replicas, reads), life) <= AT_MOST
    assert len(replicas) == 1


def test_pods_of_a_pool() -> None:
    replicas = found(8000, 8001)

    def life(name: str) -> None:
        for state in ("starting", "ready", "terminating"):
            replicas.changed(name, pod(state, uid=name))
        replicas.gone(name)

    assert lived(replicas, life) <= AT_MOST


@pytest.mark.parametrize("chosen", [True, False])
def test_replicas_of_a_workload(chosen: bool) -> None:
    replicas = ClusterReplicas(chosen=chosen, ordered=False, drain_s=600.0, prefix="e")
    replicas.seen(Found(["stays"], (), ["stays"]), 0.0)
    replicas.adopt(1, [], [], 0.0)
    now = count(1)

    def life(name: str) -> None:
        replicas.scale(2, {}, float(next(now)))
        replicas.pods([name], {name: "no GPU is free"}, float(next(now)))
        for there in (["stays", name], ["stays", name]):
            replicas.seen(Found(there, (), there), float(next(now)))
            replicas.arrived()
        replicas.scale(1, {"stays": 5}, float(next(now)))
        replicas.idle([name], float(next(now)))
        replicas.counted([name], float(next(now)))
        replicas.seen(Found(["stays"], (), ["stays"]), float(next(now)))
        replicas.standing(float(next(now)))

    assert lived(replicas, life) <= AT_MOST
    assert (replicas.target, replicas.leaving, replicas.going) == (1, {}, {})


async def test_the_roster_and_its_sources() -> None:
    heard: list[Member] = []
    roster, source = Roster(heard.extend, 60.0), Observed()
    roster.enroll("e", source)

    def life(name: str) -> None:
        source.differs(MemberDifference(added=(Replica(name, "http://h:1", life=name),)))
        roster.down({("e", name)})
        assert roster.drain("e", name)
        assert roster.retire("e", name)
        assert roster.rest("e", name, "asleep")
        source.differs(MemberDifference(draining=(name,)))
        roster.tell_now()
        source.differs(MemberDifference(removed=(name,)))
        roster.tell_now()
        heard.clear()

    assert lived((roster, source), life) <= AT_MOST
    assert roster.away() == set()


def test_what_probes_have_said() -> None:
    board = HealthBoard()

    def life(name: str) -> None:
        board.note(("e", name), False, unhealthy_after=1, healthy_after=1, why="refused")
        board.told(("e", name), "refused")
        asked = Asked()
        asked.add("e", "stays")
        at_once(board.keep(asked))

    assert lived(board, life) <= AT_MOST


async def test_a_worker_s_fleet() -> None:
    fleets = Fleets()
    fleets.configure(document({"t0": told(gpu_usd_per_hour=2)}, {"m": {"targets": [{"engine": "t0"}]}}))
    table = fleets.live.table

    def life(name: str) -> None:
        fleets.change(Member("t0", name, f"http://{name}:1", life=name))
        state = table.find(("t0", name))
        assert state is not None
        table.prefixes.add([hash(name) & 0xFFFF, 2, 3], table.slot_of(state))
        fleets.live.meters.of(("t0", name), 2.0, clock.monotonic())
        fleets.change(Member("t0", name, f"http://{name}:2", healthy=False, life="another"))
        fleets.change(Member("t0", name, gone=True))
        table.prefixes.sweep()

    roots = table, fleets.live._engines, fleets.live._models, fleets.live._told, fleets.live.meters, fleets.live.pools
    assert lived(roots, life, LIVES // 4) <= AT_MOST
    assert (len(table), len(table.slotted), len(fleets.live.pools)) == (0, 0, 0)
