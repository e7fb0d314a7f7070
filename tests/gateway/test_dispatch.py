"""What the front door gives a request that brings none of it."""

from __future__ import annotations

import pytest

from gateway.settings import load_settings
from gateway.settings.sealed import seal
from gateway.supervisor import Supervisor
from gateway.workers.messages import Configure
from gateway.workers.worker import Worker

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


async def test_a_request_goes_by_its_own_id_or_by_that_of_its_record() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SEALED, 1, [])) == ""
        assert worker.dispatcher.id_of({}, b"0a") == b"0a"
        assert worker.dispatcher.id_of({b"x-request-id": b"theirs"}, b"0a") == b"theirs"
    finally:
        await supervisor.close()
