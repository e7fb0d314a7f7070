"""Engines in Kubernetes that follow their traffic: a request at zero, a scale-down that cuts nothing, one writer."""

from __future__ import annotations

import asyncio

import pytest

from tests.kubernetes.cluster import running_cluster, until
from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.upstream import running_upstream

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
