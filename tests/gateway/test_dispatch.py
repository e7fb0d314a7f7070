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


async def test_ids_of_ours_count_on_past_every_digit() -> None:
    supervisor = Supervisor()
    worker = Worker(supervisor)
    try:
        assert await worker.configure(Configure(SEALED, 1, [])) == ""
        ids = [worker.dispatcher.id_of({}) for _ in range(0x210)]
        prefix = ids[0][: -len("00000001")]
        assert ids == [b"%b%08x" % (prefix, number) for number in range(1, 0x211)]
        assert worker.dispatcher.id_of({b"x-request-id": b"theirs"}) == b"theirs"
    finally:
        await supervisor.close()
