"""Engines in Kubernetes that follow their traffic: a request at zero, a scale-down that cuts nothing, one writer."""

from __future__ import annotations

import asyncio

import pytest

from gateway import clock
from tests.kubernetes.cluster import running_cluster, until
from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.upstream import Answer, chunk, running_upstream, stream

pytestmark = pytest.mark.anyio


async def acting(gateway: Gateway) -> None:
    await until(lambda: gateway.plane.autoscaling.status()[0]["acts"])


async def test_a_request_at_zero_waits_until_its_pod_serves() -> None:
    with running_cluster() as cluster:
        cluster.deployment(0)
        async with running_upstream() as pod, running_gateway(one_model(cluster.section())) as gateway:
            await acting(gateway)
            waiting = asyncio.ensure_future(gateway.chat())
            await until(cluster.replicas, 1)
            cluster.serve("eng-a", pod.url)
            answer = await waiting
            assert (answer.status_code, answer.headers["x-penstock-replica"]) == (200, "eng-a")
            first = gateway.plane.autoscaling.decisions()[-1]
            assert (first.had, first.wanted, first.sentence) == (0, 1, "a request waits")
            written = (await gateway.metrics()).labelled("penstock_scale_writes_total", "engine", "result")
            assert written == {("a", "written"): 1.0}


async def test_a_start_that_fails_is_told_with_its_reason_and_one_that_mends_serves() -> None:
    image = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    with running_cluster() as cluster:
        cluster.deployment(0)
        cluster.pod("eng-a", containerStatuses=[{"name": "engine", "state": image}])
        async with running_upstream() as pod, running_gateway(one_model(cluster.section())) as gateway:
            await acting(gateway)
            waiting = asyncio.ensure_future(gateway.chat())
            await until(lambda: gateway.plane.autoscaling.status()[0]["failing"], 1)
            await gateway.plane.autoscaling.look()
            refused = await waiting
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_replica_available")
            assert "ImagePullBackOff" not in refused.text
            told = gateway.plane.autoscaling.status()[0]
            assert told["failure"] == "pod eng-a: engine: ImagePullBackOff; no such image"
            assert (told["starting"], cluster.replicas()) == (1, 1)
            cluster.serve("eng-a", pod.url)
            await until(lambda: len(gateway.worker.fleet.table), 1)
            assert (await gateway.chat()).status_code == 200


async def test_a_scale_down_waits_for_the_stream_of_the_one_that_goes() -> None:
    gate = asyncio.Event()
    with running_cluster() as cluster:
        cluster.deployment(2)
        section = cluster.section(concurrency=64, kubernetes={"deletion_cost": True})
        async with (
            running_upstream() as first,
            running_upstream() as second,
            running_gateway(one_model(section)) as gateway,
        ):
            cluster.serve("eng-a", first.url)
            await acting(gateway)
            await until(lambda: gateway.plane.autoscaling.status()[0]["ready"], 1)
            first.then(
                Answer([chunk("one"), gate, chunk("two", "stop"), b"data: [DONE]\n\n"], headers=stream().headers)
            )
            streaming = asyncio.ensure_future(gateway.chat(stream=True))
            await first.request(0)
            cluster.serve("eng-b", second.url)
            await until(lambda: gateway.plane.autoscaling.status()[0]["ready"], 2)
            look = gateway.plane.autoscaling.look
            gateway.plane.scaling._cluster.scale("a", 1, {"eng-b": 5}, clock.monotonic())
            await until(lambda: cluster.cost("eng-a"), "-1000")
            await look()
            assert (cluster.replicas(), gateway.plane.autoscaling.status()[0]["draining"]) == (2, 1)
            gateway.plane.roster.tell_now()
            assert (await gateway.chat()).headers["x-penstock-replica"] == "eng-b"
            gate.set()
            assert b"two" in (await streaming).content
            await look()
            await until(cluster.replicas, 1)
            assert cluster.cost("eng-a") == "-2000"
            cluster.end("eng-a")
            await until(lambda: gateway.plane.autoscaling.status()[0]["ready"], 1)
