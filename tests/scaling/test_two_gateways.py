"""Two gateways, one Lease: both serve, one acts, and the other takes over in seconds."""

from __future__ import annotations

import pytest

from gateway import clock
from tests.kubernetes.cluster import running_cluster, until
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.test_cluster_scaling import acting
from tests.scenario.upstream import running_upstream

pytestmark = [pytest.mark.anyio, pytest.mark.scaling]


async def test_a_gateway_without_the_lease_serves_and_drains_and_the_next_to_hold_it_acts() -> None:
    with running_cluster() as cluster:
        cluster.deployment(2)
        lease = {"name": "lead", "namespace": "default", "api_url": cluster.url}
        config = one_model(cluster.section(kubernetes={"deletion_cost": True}), autoscale={"lease": lease})
        async with running_upstream() as first, running_upstream() as second, running_gateway(config) as one:
            cluster.serve("eng-a", first.url)
            cluster.serve("eng-b", second.url)
            await acting(one)
            await until(lambda: one.plane.autoscaling.status()[0]["ready"], 2)
            async with running_gateway(config) as other:
                await until(lambda: other.plane.autoscaling.status()[0]["ready"], 2)
                other.plane.autoscaling.woken(["a"])
                assert [it["acts"] for it in other.plane.autoscaling.status()] == [False]
                one.plane.cluster.scale("a", 1, {"eng-a": 5}, clock.monotonic())
                await until(lambda: other.plane.roster.statuses("a")[1].draining)
                assert {(await other.chat()).headers["x-penstock-replica"] for _ in range(4)} == {"eng-a"}
                await one.plane.leading.leave()
                await acting(other)
                await other.plane.autoscaling.look()
                await until(cluster.replicas, 1)
                assert (cluster.cost("eng-a"), cluster.cost("eng-b")) == (None, "-2000")
                assert not one.plane.autoscaling.status()[0]["acts"]
