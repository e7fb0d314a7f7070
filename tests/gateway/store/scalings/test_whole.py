"""A gateway's decisions outlive it, and `penstock autoscale status --since` shows them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from tests.gateway.store.chaos import Gateway, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def shown(gateway: Gateway, *options: str) -> list[str]:
    command = ["autoscale", "status", "--url", f"unix:{gateway.uds}", *options]
    told = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert told.exit_code == 0, told.output
    return told.output.splitlines()


async def test_what_was_decided_before_a_gateway_was_killed_is_known_after_it(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    scaled = {"kind": "simulator", "autoscale": {"min": 0, "max": 1, "startup_s": 1}}
    target = {"targets": [{"engine": "sim"}]}
    async with running(gateway):
        gateway.changes = {"engines": {"sim": scaled}, "models": {"m": target}}
        await gateway.kill()
        await gateway.start()
        (line,) = await shown(gateway)
        assert line.startswith("sim: 0 ready, ")
        await gateway.ask(1)
        (decided,) = [line for line in await shown(gateway) if " -> " in line]
        assert decided.endswith("  sim  0 -> 1  a request waits")
        while decided not in await shown(gateway, "--since", "1h"):
            await asyncio.sleep(0.1)
        await gateway.kill()
        await gateway.start()
        assert not [line for line in await shown(gateway) if " -> " in line], "memory is new"
        assert decided in await shown(gateway, "--since", "1h")
        assert decided in await shown(gateway, "--engine", "sim")
        assert decided not in await shown(gateway, "--engine", "another")
