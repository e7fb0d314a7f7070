"""What a worker makes of what it is told about replicas."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from gateway.fleet.members import Member
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.settings.sealed import seal
from gateway.workers.exchange.messages import Configure, MembersChanged
from gateway.workers.worker import Worker
from routing.model import Endpoint

pytestmark = pytest.mark.anyio

SEALED = seal(
    load_settings(
        """
telemetry: {access_log: "off"}
engines: {e: {kind: vllm, launch: {model: x}}}
models: {m: {targets: [{engine: e}]}}
""",
        {},
    )
)


async def until(worker: Worker, replicas: list[str]) -> None:
    async with asyncio.timeout(60):
        while [endpoint.replica for endpoint in endpoints(worker)] != replicas:
            await asyncio.sleep(0)


def endpoints(worker: Worker) -> list[Endpoint]:
    return list(worker.dispatcher.snapshot.fleet.models["m"].endpoints())


async def test_replicas_join_and_leave_in_the_order_in_which_it_is_told() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        worker.peer.told(MembersChanged([Member("e", "early", "http://h:1")]))  # of nothing yet
        assert await worker.configure(Configure(SEALED, 1, [Member("e", "a", "http://h:1")])) == ""
        await until(worker, ["a"])
        worker.peer.told(MembersChanged([Member("e", "b", "http://h:2"), Member("e", "c", "http://h:3")]))
        worker.peer.told(MembersChanged([Member("e", "a", gone=True), Member("e", "c", gone=True)]))
        await until(worker, ["b"])
    finally:
        await supervisor.close()


async def test_a_replica_that_cannot_be_used_is_told_of_and_keeps_no_other_from_joining() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SEALED, 1, [])) == ""
        with structlog.testing.capture_logs() as logs:
            worker.peer.told(MembersChanged([Member("e", "a", "ftp://h")]))
            async with asyncio.timeout(60):
                while not logs:
                    await asyncio.sleep(0)
        assert logs[0]["event"] == "members_refused"
        assert "URL" in logs[0]["why"]
        worker.peer.told(MembersChanged([Member("e", "a", gone=True), Member("e", "b", "http://h:2")]))
        await until(worker, ["b"])
    finally:
        await supervisor.close()
