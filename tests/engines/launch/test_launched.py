"""The life of a launched replica, with real child processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import threading
from dataclasses import replace
from random import Random

import pytest

from engines.errors import LaunchFailed
from engines.launch import launched
from engines.launch.child_log import ChildLog
from engines.launch.launched import LaunchedReplica, LaunchState, Pace
from engines.launch.vllm import VllmServer, vllm_command, vllm_explanation
from tests.engines.launch.conftest import QUICK, Workbench, alive, ask, gone

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_replica_is_ready_once_it_answers_its_health_check(bench: Workbench) -> None:
    launcher = bench.launcher(env={"FAKE": "hello"})
    await launcher.scale_to(1)
    await launcher.started()
    (replica,) = launcher.replicas
    assert replica.id == "fake-0"
    assert await ask(replica.url) == b"hello"
    await launcher.stop()
    assert bench.seen() == [
        ("fake-0", LaunchState.STARTING),
        ("fake-0", LaunchState.READY),
        ("fake-0", LaunchState.STOPPED),
    ]
    assert launcher.replicas == ()


async def test_a_child_that_exits_early_fails_at_once_with_its_last_words(bench: Workbench) -> None:
    launcher = bench.launcher("exits")
    await launcher.scale_to(1)
    with pytest.raises(LaunchFailed) as failed:
        await launcher.started()
    log = bench.log_dir / "fake-0.log"
    assert str(failed.value) == (
        f"fake-0 exited with code 7 before it was ready; its log {log} ends with:\n"
        "first line\nCUDA out of memory, token=hunter2hunter2"
    )


async def test_a_secret_of_the_childs_environment_is_not_quoted_from_its_log(bench: Workbench) -> None:
    launcher = bench.launcher("exits", env={"HF_TOKEN": "hunter2hunter2"})
    await launcher.scale_to(1)
    with pytest.raises(LaunchFailed, match=r"out of memory, token=\*\*\*$"):
        await launcher.started()


async def test_a_failing_child_is_tried_again_and_again(bench: Workbench) -> None:
    launcher = bench.launcher("exits")
    await launcher.scale_to(1)
    for _ in range(3):
        _, reason = await bench.until(LaunchState.BACKOFF)
        assert reason.startswith("fake-0 exited with code 7 before it was ready")


async def test_missing_vllm_is_one_clear_sentence(bench: Workbench) -> None:
    launch = VllmServer("some/model", python=sys.executable)
    launcher = bench.launcher(command=lambda port: vllm_command(launch, port, ["m"]), explain=vllm_explanation(launch))
    await launcher.scale_to(1)
    with pytest.raises(LaunchFailed) as failed:
        await launcher.started()
    assert str(failed.value) == (
        f"vllm is not installed in {sys.executable}; install it there or set launch.python (--vllm-python)"
    )


async def test_a_missing_python_is_one_clear_sentence(bench: Workbench) -> None:
    launch = VllmServer("some/model", python="/nowhere/python")
    launcher = bench.launcher(command=lambda port: vllm_command(launch, port, ["m"]), explain=vllm_explanation(launch))
    await launcher.scale_to(1)
    with pytest.raises(LaunchFailed) as failed:
        await launcher.started()
    assert str(failed.value) == (
        "/nowhere/python cannot be run (No such file or directory); set launch.python to the Python that has vllm"
    )


async def test_a_child_that_never_gets_healthy_is_stopped_after_the_start_timeout(bench: Workbench) -> None:
    launcher = bench.launcher("deaf", pace=replace(QUICK, start_timeout_s=0.05))
    await launcher.scale_to(1)
    with pytest.raises(LaunchFailed, match=r"^fake-0 was not healthy within 0\.05 s and was stopped; its log "):
        await launcher.started()


async def test_a_log_that_cannot_be_written_is_told_as_such(bench: Workbench) -> None:
    bench.log_dir.write_text("a file where the directory should be")
    launcher = bench.launcher()
    await launcher.scale_to(1)
    with pytest.raises(LaunchFailed, match=r"^fake-0 could not be started: .*File exists"):
        await launcher.started()


async def test_a_replica_that_dies_comes_back_under_its_name_and_url(bench: Workbench) -> None:
    launcher = bench.launcher()
    await launcher.scale_to(1)
    first, _ = await bench.until(LaunchState.READY)
    assert await ask(first.url, "/die") == b""
    _, reason = await bench.until(LaunchState.BACKOFF)
    assert reason.startswith("fake-0 exited with code 3; its log ")
    again, _ = await bench.until(LaunchState.READY)
    assert (again.id, again.url) == (first.id, first.url)
    assert again.succeeds(first), "what was known of the one before is not true of it"
    assert await ask(again.url) == b""


async def test_where_no_descriptor_tells_of_a_childs_end_a_thread_does(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    launcher = bench.launcher()
    await launcher.scale_to(1)
    first, _ = await bench.until(LaunchState.READY)
    assert await ask(first.url, "/die") == b""
    _, reason = await bench.until(LaunchState.BACKOFF)
    assert reason.startswith("fake-0 exited with code 3; its log ")
    await bench.until(LaunchState.READY)
    await launcher.scale_to(0)
    assert bench.seen()[-1] == ("fake-0", LaunchState.STOPPED)


async def test_a_child_whose_end_nobody_could_hear_of_is_not_left_running(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def no_thread(_: threading.Thread) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    def no_descriptor(pid: int) -> int:
        pids.append(pid)
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", no_descriptor)
    launcher = bench.launcher()
    await launcher.scale_to(1)
    _, reason = await bench.until(LaunchState.BACKOFF)
    assert reason == "fake-0 could not be started: can't start new thread"
    (pid,) = pids
    assert not alive(pid)
    await bench.until(LaunchState.READY)


async def test_a_log_that_cannot_be_trimmed_does_not_end_the_replica(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    def full(_: ChildLog) -> bool:
        loop.call_soon_threadsafe(tried.set)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ChildLog, "trim", full)
    launcher = bench.launcher(pace=replace(QUICK, trim_s=0.001))
    await launcher.scale_to(1)
    for _ in range(2):
        tried.clear()
        await tried.wait()
    (replica,) = launcher.replicas
    assert await ask(replica.url) == b""


@pytest.mark.parametrize("stands_still", ["begin", "trim"])
async def test_a_disk_that_stands_still_holds_neither_the_loop_nor_the_stop(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, stands_still: str
) -> None:
    asked, answers = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    really = getattr(ChildLog, stands_still)

    def hangs(log: ChildLog) -> object:
        loop.call_soon_threadsafe(asked.set)
        answers.wait()
        return really(log)

    monkeypatch.setattr(ChildLog, stands_still, hangs)
    launcher = bench.launcher(pace=replace(QUICK, trim_s=0.001))
    await launcher.scale_to(1)
    try:
        await asked.wait()
        await launcher.stop()
        assert bench.seen()[-1] == ("fake-0", LaunchState.STOPPED)
    finally:
        answers.set()


async def test_a_start_without_a_free_descriptor_is_tried_again(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: set[int]) -> tuple[socket.socket, int]:
        monkeypatch.undo()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(launched, "_reserve", none_left)
    launcher = bench.launcher()
    await launcher.scale_to(1)
    _, reason = await bench.until(LaunchState.BACKOFF)
    assert reason == "fake-0 could not be started: [Errno 24] Too many open files"
    await bench.until(LaunchState.READY)


@pytest.mark.parametrize(("stable_s", "expected"), [(0.0, [0, 0, 0]), (3600.0, [0, 1, 2])])
async def test_earlier_failures_are_forgotten_after_a_stable_time(
    bench: Workbench, stable_s: float, expected: list[int]
) -> None:
    seen: list[int] = []

    class Watched(Pace):
        def backoff_s(self, failures: int, rng: Random) -> float:
            seen.append(failures)
            return 0.001

    launcher = bench.launcher(pace=Watched(first_poll_s=0.005, max_poll_s=0.02, stable_s=stable_s))
    await launcher.scale_to(1)
    for _ in expected:
        replica, _ = await bench.until(LaunchState.READY)
        await ask(replica.url, "/die")
        await bench.until(LaunchState.BACKOFF)
    await bench.until(LaunchState.STARTING)
    assert seen == expected


async def test_stop_kills_the_whole_group_of_a_child_that_leaves_a_stubborn_worker(bench: Workbench) -> None:
    launcher = bench.launcher("family")
    await launcher.scale_to(1)
    await launcher.started()
    found = re.search(r"grandchild (\d+)", (bench.log_dir / "fake-0.log").read_text())
    assert found
    assert alive(int(found[1]))
    await launcher.stop()
    await gone(int(found[1]))


async def test_only_the_root_is_asked_to_end_so_that_its_workers_can_finish_for_it(bench: Workbench) -> None:
    launcher = bench.launcher("drains")
    await launcher.scale_to(1)
    await launcher.started()
    await launcher.stop()
    assert (bench.log_dir / "fake-0.log").read_text() == "root was told end\n"


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_period(bench: Workbench) -> None:
    launcher = bench.launcher("stubborn", pace=replace(QUICK, grace_s=0.05))
    await launcher.scale_to(1)
    (replica,) = [(await bench.until(LaunchState.READY))[0]]
    await launcher.stop()
    with pytest.raises(OSError, match=r"refused|Connect"):
        await ask(replica.url)


async def test_a_replica_is_out_of_service_before_its_grace_period(bench: Workbench) -> None:
    launcher = bench.launcher("stubborn", pace=replace(QUICK, grace_s=30.0))
    await launcher.scale_to(1)
    replica, _ = await bench.until(LaunchState.READY)
    bench.spawn("stop", launcher.stop)
    await bench.until(LaunchState.STOPPED)
    assert await ask(replica.url) == b""  # told, while the child still answers
    await ask(replica.url, "/die")


async def test_cancelled_work_stops_its_child_all_the_same(bench: Workbench) -> None:
    launcher = bench.launcher("family")
    await launcher.scale_to(1)
    await launcher.started()
    found = re.search(r"grandchild (\d+)", (bench.log_dir / "fake-0.log").read_text())
    assert found
    (task,) = bench.tasks
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(found[1]))


async def test_stop_ends_a_wait_between_two_starts(bench: Workbench) -> None:
    launcher = bench.launcher("exits", pace=replace(QUICK, first_backoff_s=3600.0, max_backoff_s=3600.0))
    await launcher.scale_to(1)
    await bench.until(LaunchState.BACKOFF)
    await launcher.stop()
    assert bench.seen() == [("fake-0", LaunchState.STOPPED)]


async def test_stop_ends_a_start_that_is_waited_for(bench: Workbench) -> None:
    launcher = bench.launcher("deaf")
    await launcher.scale_to(1)
    await bench.until(LaunchState.STARTING)
    waiting = asyncio.gather(launcher.started(), return_exceptions=True)
    await asyncio.sleep(0)
    await launcher.stop()
    (outcome,) = await waiting
    assert str(outcome) == "it was stopped before it was ready"


async def test_a_stop_before_the_work_began_starts_nothing(bench: Workbench) -> None:
    replica = LaunchedReplica("fake-0", bench.recipe("serves"))
    await replica.stop()
    await replica.run()
    assert bench.seen() == []
    assert not bench.log_dir.exists()


async def test_scaling_down_stops_the_highest_numbers(bench: Workbench) -> None:
    launcher = bench.launcher()
    await launcher.scale_to(3)
    await launcher.started()
    assert len({replica.url for replica in launcher.replicas}) == 3
    await launcher.scale_to(1)
    assert [replica.id for replica in launcher.replicas] == ["fake-0"]


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
async def test_a_child_dies_with_a_parent_that_was_killed(bench: Workbench) -> None:
    # The middle process starts a child as the launcher does and tells its pid; then it is killed outright.
    middle = (
        "import asyncio, pathlib, sys\n"
        "from engines.launch.child import Child\n"
        "from engines.launch.child_log import ChildLog\n"
        "async def main():\n"
        "    log = ChildLog(pathlib.Path(sys.argv[1]))\n"
        "    waits = 'print(1, flush=True); import signal; signal.pause()'\n"
        "    child = await Child.start([sys.executable, '-c', waits], {}, log.begin())\n"
        "    while log.tail() != '1': await asyncio.sleep(0.005)\n"
        "    print(child.pid, flush=True)\n"
        "    await child.wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", middle, str(bench.log_dir / "x.log")), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    pid = int(await parent.stdout.readline())
    try:
        assert alive(pid)
        parent.kill()
        await parent.wait()
        await gone(pid)
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
