"""Replicas that drain, join and leave while requests run."""

from __future__ import annotations

import asyncio
import json
import pathlib
from typing import Any

import pytest

from tests.scenario.gateway import document, running_gateway
from tests.scenario.upstream import DONE, WHOLE_STREAM, running_upstream, stream

pytestmark = pytest.mark.anyio


def served_by(**urls: str) -> dict[str, Any]:
    """One model on these replicas, by id."""
    replicas = [{"id": id, "url": url} for id, url in urls.items()]
    return document(
        engines={"e": {"kind": "openai", "replicas": replicas}},
        models={"chat": {"targets": [{"engine": "e"}], "policy": {"name": "round_robin"}}},
    )


async def test_a_draining_replica_gets_nothing_new_and_its_stream_finishes() -> None:
    gate = asyncio.Event()
    held = stream(WHOLE_STREAM[0], gate, *WHOLE_STREAM[1:])
    async with running_upstream() as one, running_upstream() as two:
        async with running_gateway(served_by(one=one.url, two=two.url)) as gateway:
            one.then(held)
            two.then(held)
            running = [asyncio.ensure_future(gateway.chat(stream=True)) for _ in range(2)]
            await one.request(0)
            await two.request(0)
            assert gateway.plane.drain_replica("e", "one")
            await gateway.until(lambda: any(state.draining for state in gateway.worker.fleet.table))
            for _ in range(4):
                assert (await gateway.chat()).headers["x-penstock-replica"] == "two"
            metrics = await gateway.metrics()
            gate.set()
            bodies = [(await answer).content for answer in running]
            assert gateway.plane.drain_replica("e", "one", draining=False)
            await gateway.until(lambda: not any(state.draining for state in gateway.worker.fleet.table))
            again = {(await gateway.chat()).headers["x-penstock-replica"] for _ in range(4)}
    assert [body.endswith(DONE) for body in bodies] == [True, True]
    assert len(one.received) == 1 + 2
    assert again == {"one", "two"}
    assert {("draining",): 1.0, ("ready",): 1.0} == metrics.labelled("penstock_replicas", "state")


async def test_a_replica_more_or_less_costs_the_others_no_connection(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as one, running_upstream() as two:
        file = tmp_path / "penstock.yaml"

        def write(**urls: str) -> None:
            file.write_text(json.dumps({"server": {"port": 0}, **served_by(**urls)}))

        write(one=one.url)
        async with running_gateway(file) as gateway:
            await gateway.chat()
            write(one=one.url, two=two.url)
            assert await gateway.plane.reload()
            served = {(await gateway.chat()).headers["x-penstock-replica"] for _ in range(4)}
            write(one=one.url)
            assert await gateway.plane.reload()
            await two.connections(0)
            await gateway.chat()
    assert served == {"one", "two"}
    assert (one.connections_made, two.connections_made) == (1, 1)
