"""Ports of launched servers: nobody else's from their choice on, and chosen anew where somebody has taken one."""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import replace

import pytest

from engines.launch import launched
from engines.launch.launched import LaunchState
from tests.engines.launch.conftest import QUICK, Workbench, ask

pytestmark = pytest.mark.anyio


async def test_a_taken_port_is_given_up_for_another(bench: Workbench) -> None:
    launcher = bench.launcher(pace=replace(QUICK, first_backoff_s=0.2, max_backoff_s=0.2))
    await launcher.scale_to(1)
    first, _ = await bench.until(LaunchState.READY)
    await ask(first.url, "/die")
    await bench.until(LaunchState.BACKOFF)
    squatter = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", int(first.url.rpartition(":")[2]))
    async with squatter:
        again, _ = await bench.until(LaunchState.READY)
    assert again.id == first.id
    assert again.url != first.url


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be both kept and given away")
async def test_the_port_of_a_server_that_has_not_bound_it_yet_is_nobody_elses(bench: Workbench) -> None:
    launcher = bench.launcher("deaf")
    await launcher.scale_to(1)
    starting, _ = await bench.until(LaunchState.STARTING)
    where = "127.0.0.1", int(starting.url.rpartition(":")[2])
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(where)
    await launcher.scale_to(0)
    with socket.socket() as other:
        other.bind(where)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be both kept and given away")
async def test_a_port_that_was_given_up_for_another_that_did_not_come_is_not_used_as_if_it_were_kept(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, tries = launched._reserve, 0

    def sometimes(taken: set[int]) -> tuple[socket.socket, int]:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise OSError(24, "Too many open files")
        return really(taken)

    monkeypatch.setattr(launched, "_reserve", sometimes)
    launcher = bench.launcher()
    await launcher.scale_to(1)
    first, _ = await bench.until(LaunchState.READY)
    monkeypatch.setattr(launched, "_bindable", lambda _: tries > 1)  # somebody has it until a second one is wanted
    await ask(first.url, "/die")
    again, _ = await bench.until(LaunchState.READY)
    assert tries == 3
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", int(again.url.rpartition(":")[2])))
