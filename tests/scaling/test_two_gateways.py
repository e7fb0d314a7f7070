"""Two gateways, one Lease: both serve, one acts, and the other takes over in seconds."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from gateway import clock
from gateway.peers.joined import Peering
from loadtests.processes.launched import free_port
from tests.kubernetes.cluster import Cluster, running_cluster, until
from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.test_cluster_scaling import acting
from tests.scenario.upstream import Answer, chunk, running_upstream, stream

pytestmark = [pytest.mark.anyio, pytest.mark.scaling]


class Street:
    """Two addresses of this machine with one name, and a port that is free at both."""

    def __init__(self) -> None:
        self.port = free_port()

    def config(self, cluster: Cluster, house: str) -> dict[str, Any]:
        """Of the gateway at one of them."""
        return one_model(
            cluster.section(concurrency=64, kubernetes={"deletion_cost": True}),
            autoscale={"lease": {"name": "lead", "namespace": "default", "api_url": cluster.url}},
            admin={"listen": f"{house}:{self.port}"},
            peers={"dns": "localhost", "port": self.port, "key": "sk-of-the-peers"},
        )

    async def meet(self, *gateways: Gateway) -> None:
        """Have each find the others, and wait until it has heard them."""

        async def houses(host: str, port: int) -> list[str]:
            return ["127.0.0.2", "127.0.0.3"]

        for each in gateways:
            asking = each.plane.peering._asking
            asking._resolve, asking._looked_s = houses, float("-inf")
        for each in gateways:
            await until(functools.partial(self._met, each.plane.peering), (1, set()))

    @staticmethod
    def _met(peering: Peering) -> tuple[int, object]:
        return len(peering.demands(["a"])), peering.busy("a")


async def test_a_gateway_without_the_lease_serves_and_drains_and_the_next_to_hold_it_acts() -> None:
    street = Street()
    with running_cluster() as cluster:
        cluster.deployment(2)
        async with (
            running_upstream() as first,
            running_upstream() as second,
            running_gateway(street.config(cluster, "127.0.0.2")) as one,
        ):
            cluster.serve("eng-a", first.url)
            cluster.serve("eng-b", second.url)
            await acting(one)
            await until(lambda: one.plane.autoscaling.status()[0]["ready"], 2)
            async with running_gateway(street.config(cluster, "127.0.0.3")) as other:
                await street.meet(one, other)
                await until(lambda: other.plane.autoscaling.status()[0]["ready"], 2)
                other.plane.autoscaling.woken(["a"])
                assert [it["acts"] for it in other.plane.autoscaling.status()] == [False]
                one.plane.scaling._cluster.scale("a", 1, {"eng-a": 5}, clock.monotonic())
                await until(lambda: other.plane.roster.statuses("a")[1].draining)
                other.plane.roster.tell_now()
                assert {(await other.chat()).headers["x-penstock-replica"] for _ in range(4)} == {"eng-a"}
                await one.plane.scaling._leading.leave()
                await acting(other)
                await other.plane.autoscaling.look()
                await until(cluster.replicas, 1)
                assert (cluster.cost("eng-a"), cluster.cost("eng-b")) == (None, "-2000")
                assert not one.plane.autoscaling.status()[0]["acts"]


async def test_the_gateway_that_acts_stops_nothing_from_which_another_streams() -> None:
    street, gate = Street(), asyncio.Event()
    with running_cluster() as cluster:
        cluster.deployment(2)
        async with (
            running_upstream() as first,
            running_upstream() as second,
            running_gateway(street.config(cluster, "127.0.0.2")) as one,
            running_gateway(street.config(cluster, "127.0.0.3")) as other,
        ):
            cluster.serve("eng-a", first.url)
            await acting(one)
            await street.meet(one, other)
            await until(lambda: other.plane.autoscaling.status()[0]["ready"], 1)
            first.then(
                Answer([chunk("one"), gate, chunk("two", "stop"), b"data: [DONE]\n\n"], headers=stream().headers)
            )
            streaming = asyncio.ensure_future(other.chat(stream=True))
            await first.request(0)
            cluster.serve("eng-b", second.url)
            await until(lambda: one.plane.autoscaling.status()[0]["ready"], 2)
            one.plane.scaling._cluster.scale("a", 1, {"eng-b": 5}, clock.monotonic())

            def heard() -> list[tuple[str, int, bool]]:
                return [it for (each,) in one.plane.peering.demands(["a"]).values() for it in each.replicas]

            await until(heard, [("eng-a", 1, True)])
            for _ in range(3):
                await one.plane.autoscaling.look()
            assert (cluster.replicas(), one.plane.autoscaling.status()[0]["draining"]) == (2, 1)
            gate.set()
            assert b"two" in (await streaming).content
            await until(heard, [("eng-a", 0, True)])
            await one.plane.autoscaling.look()
            await until(cluster.replicas, 1)
            assert (cluster.cost("eng-a"), cluster.cost("eng-b")) == ("-2000", None)
