"""Replicas of a launched engine that come and go one by one."""

from __future__ import annotations

import pytest

from engines.launch.launched import LaunchState
from tests.engines.launch.conftest import Workbench

pytestmark = pytest.mark.anyio


async def test_one_in_the_middle_goes_and_its_name_is_given_again_once_it_has_gone(bench: Workbench) -> None:
    launcher = bench.launcher()
    launcher.add(3)
    for _ in range(3):
        await bench.until(LaunchState.READY)
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-1", "fake-2"]
    launcher.remove(["fake-1", "nobody"])
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-2"]
    launcher.add(1)
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-2", "fake-3"]
    stopped, _ = await bench.until(LaunchState.STOPPED)
    assert stopped.id == "fake-1"
    await bench.until(LaunchState.READY)
    launcher.add(1)
    await bench.until(LaunchState.READY)
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-1", "fake-2", "fake-3"]
    assert len({replica.url for replica in launcher.replicas}) == 4


async def test_to_stop_waits_for_those_that_are_being_stopped_too(bench: Workbench) -> None:
    launcher = bench.launcher()
    launcher.add(2)
    for _ in range(2):
        await bench.until(LaunchState.READY)
    launcher.remove(["fake-0"])
    await launcher.stop()
    assert [each for each, state in bench.seen() if state is LaunchState.STOPPED].sort() == ["fake-0", "fake-1"].sort()
    assert launcher.launched == ()


async def test_failed_starts_are_counted_until_one_succeeds(bench: Workbench) -> None:
    launcher = bench.launcher("exits")
    launcher.add(1)
    (launched,) = launcher.launched
    for count in (1, 2, 3):
        await bench.until(LaunchState.BACKOFF)
        assert launched.failures >= count
    await bench.until(LaunchState.STARTING)
    assert launched.again_s > 0.0
