"""The durations we promise, asserted with generous multiples: run by `make test-timing` on a quiet machine."""

from __future__ import annotations

import asyncio
import json
import pathlib
import signal
import subprocess
import sys
import time

import httpx
import pytest

from tests.scenario.gateway import HELLO, KEY, one_model, running_gateway
from tests.scenario.upstream import Answer, End, running_upstream

pytestmark = [pytest.mark.anyio, pytest.mark.timing]

READY_S = 1.5
FREED_S = 0.1
MULTIPLE = 3


def test_ready_with_static_engines(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "penstock.yaml"
    document = one_model("http://127.0.0.1:1", telemetry={"access_log": "off"}, server={"port": 0})
    config.write_text(json.dumps(document))
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if '"event": "ready"' in line:
                break
        assert time.monotonic() - began_s < READY_S * MULTIPLE
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        process.stderr.read()
        process.stderr.close()
        assert 0 == process.wait(20)


async def test_a_client_that_leaves_frees_the_engine() -> None:
    async with (
        running_upstream(Answer(before=End.HANG)) as upstream,
        running_gateway(one_model(upstream.url)) as gateway,
    ):
        async with httpx.AsyncClient(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}) as client:
            asked = asyncio.ensure_future(
                client.post("/v1/chat/completions", json={"model": "chat", "messages": HELLO})
            )
            await gateway.until(lambda: upstream.received)
            asked.cancel()
            began_s = time.monotonic()
            await gateway.until(lambda: not gateway.in_flight())
            assert time.monotonic() - began_s < FREED_S * MULTIPLE
