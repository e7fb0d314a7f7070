"""A reload is whole or not at all: in every worker or in none, and nothing changes for a bad file."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
from collections.abc import Awaitable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import trustme

from engines.port import Replica
from gateway.control.configuration import source as source_file
from gateway.control.configuration.certificates import CertificateWatch, by_workers
from gateway.control.configuration.source import Source
from gateway.control.links import Links
from gateway.control.membership import Written
from gateway.control.plane import Plane
from gateway.fleet.members import Member, unpacked
from gateway.fleet.steps import letting_go
from gateway.process.supervisor import Supervisor
from gateway.settings import ConfigError, Settings, Tls, load_settings, read_source
from gateway.settings.sealed import seal
from gateway.workers.exchange.messages import Configure, Configured, Reopen, ToPlane, ToWorker
from tests.gateway.control.fakes import FILE, Control, FakeWorker

pytestmark = pytest.mark.anyio


def digest(text: str) -> str:
    return load_settings(text, {}).digest


def heard(worker: FakeWorker, kind: type[ToWorker], times: int = 1) -> bool:
    """Whether it was told or asked this so often."""
    return len(worker.all_heard(kind)) == times


def digests(worker: FakeWorker) -> list[str]:
    """What a worker was asked to use, in order."""
    return [message.sealed.digest for message in worker.all_heard(Configure)]


async def test_a_worker_is_told_everything_when_it_joins(gateway: Control) -> None:
    configured, cards = gateway.workers[0].heard
    assert configured == Configure(seal(load_settings(FILE, {})), 2, [])
    assert cards == gateway.plane.asking.cards.known


async def test_why_a_worker_refused_is_told(gateway: Control) -> None:
    newcomer = gateway.worker("0.2")
    newcomer.problem = "it has no such file"
    assert await newcomer.join() == "it has no such file"


async def test_a_file_that_cannot_be_used_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("engines: {}")
    with pytest.raises(ConfigError):
        Plane(Source(tmp_path / "bad.yaml", environ={}), Supervisor(), workers=1)


async def test_a_file_that_changes_while_the_gateway_starts_is_read_once_and_then_taken_for_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(FILE)
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        text = read_source(path)
        file.write_text(FILE.replace("models: {m:", "models: {n:"))  # at the worst moment, as nothing was made of it
        return text

    monkeypatch.setattr(source_file, "read_source", reading)
    source = Source(file, environ={})
    plane = Plane(source, Supervisor(), workers=1, begun=source.begin())
    assert (read, set(plane.settings.models)) == ([file], {"m"})
    await plane.watch_files()
    assert set(plane.settings.models) == {"n"}


class OutOfDescriptors:
    """In the place of `os.open`, for some paths and a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
        self.paths = {str(path) for path in paths}
        self._open = os.open
        monkeypatch.setattr("os.open", self)

    def __call__(self, path: Any, *arguments: Any, **options: Any) -> int:
        if str(path) in self.paths:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._open(path, *arguments, **options)


async def test_out_of_descriptors_no_file_is_taken_for_changed_and_a_change_is_found_afterwards(
    gateway: Control, monkeypatch: pytest.MonkeyPatch, quiet: list[Any]
) -> None:
    full = OutOfDescriptors(monkeypatch, gateway.path)
    await gateway.plane.watch_files()
    gateway.path.write_text(FILE.replace("models: {m:", "models: {n:"))
    await gateway.plane.watch_files()
    assert (quiet, set(gateway.plane.settings.models)) == ([], {"m"})
    full.paths.clear()
    await gateway.plane.watch_files()
    assert set(gateway.plane.settings.models) == {"n"}
    assert [line["event"] for line in quiet] == ["config_applied"]


async def test_out_of_descriptors_no_certificate_is_taken_for_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: list[Any]
) -> None:
    leaf = trustme.CA().issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    watch = CertificateWatch(Tls(cert=str(cert), key=str(key)), by_workers(Links()))
    full = OutOfDescriptors(monkeypatch, key)
    await watch.look()
    assert quiet == []
    full.paths.clear()
    await watch.look()
    assert quiet == []
    cert.write_text("no certificate")
    await watch.look()
    assert [line["event"] for line in quiet] == ["certificate_refused"]


async def test_a_new_file_reaches_every_worker_whole(gateway: Control) -> None:
    new = FILE.replace("models: {m:", "models: {n:")
    gateway.path.write_text(new)
    assert await gateway.plane.reload()
    for worker in gateway.workers:
        assert digests(worker) == [digest(FILE), digest(new)]
        assert len(worker.all_heard(Reopen)) == 1
    assert set(gateway.plane.settings.models) == {"n"}
    assert await gateway.count("penstock_config_reloads_total", result="applied") == 1


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("engines: [", "line"),
        (FILE.replace("kind: openai", "kind: opneai"), "opneai"),
        (FILE.replace("8080", "8081"), "server.port cannot change while the gateway runs"),
        (FILE.replace("workers: 2", "workers: 3"), "server.workers cannot change while the gateway runs"),
        (FILE + "data_dir: /elsewhere\n", "data_dir cannot change while the gateway runs"),
        (FILE + "telemetry: {access_log: off}\n", "telemetry.access_log cannot change while the gateway runs"),
        (FILE + "telemetry: {log_level: debug}\n", "telemetry.log_level cannot change while the gateway runs"),
        (FILE + "telemetry: {log_format: console}\n", "telemetry.log_format cannot change while the gateway runs"),
    ],
)
async def test_a_file_that_cannot_be_used_changes_nothing_and_says_why(
    gateway: Control, quiet: list[Any], new: str, why: str
) -> None:
    gateway.path.write_text(new)
    assert not await gateway.plane.reload()
    assert [len(worker.all_heard(Configure)) for worker in gateway.workers] == [1, 1]
    assert set(gateway.plane.settings.models) == {"m"}
    assert why in next(line["why"] for line in quiet if line["event"] == "config_refused")
    assert await gateway.count("penstock_config_reloads_total", result="refused") == 1


async def test_both_results_of_a_reload_are_there_before_the_first(gateway: Control) -> None:
    text = (await gateway.exposition()).decode()  # a counter that begins at 1 has never increased
    assert [line for line in text.splitlines() if line.startswith("penstock_config_reloads_total{")] == [
        'penstock_config_reloads_total{result="applied"} 0',
        'penstock_config_reloads_total{result="refused"} 0',
    ]


async def test_an_unchanged_file_reopens_the_logs_and_nothing_else(gateway: Control) -> None:
    assert await gateway.plane.reload()
    assert [len(worker.all_heard(Configure)) for worker in gateway.workers] == [1, 1]
    assert [len(worker.all_heard(Reopen)) for worker in gateway.workers] == [1, 1]


async def test_a_worker_that_refuses_a_reload_is_told_of_and_the_next_signal_tries_again(
    gateway: Control, quiet: list[Any]
) -> None:
    gateway.workers[1].problem = "it has no such file"
    new = FILE + "health: {interval_s: 9}\n"
    gateway.path.write_text(new)
    assert not await gateway.plane.reload()
    (line,) = [line for line in quiet if line["event"] == "config_refused_by_worker"]
    assert (line["worker"], line["why"]) == ("1.1", "it has no such file")
    assert gateway.plane.settings.health.interval_s == 5.0
    gateway.workers[1].problem = ""
    assert await gateway.plane.reload()
    assert gateway.plane.settings.health.interval_s == 9.0
    results = [await gateway.count("penstock_config_reloads_total", result=result) for result in ("refused", "applied")]
    assert results == [1, 1]


async def test_what_one_worker_refuses_is_taken_back_from_the_others(gateway: Control) -> None:
    gateway.workers[1].problem = "it has no such file"
    new = FILE + "health: {interval_s: 9}\n"
    gateway.path.write_text(new)
    assert not await gateway.plane.reload()
    assert digests(gateway.workers[0]) == [digest(FILE), digest(new), digest(FILE)]
    assert digests(gateway.workers[1]) == [digest(FILE), digest(new)]


class Slow(FakeWorker):
    """It takes its time over the configuration that it is to go back to."""

    def asked(self, message: ToWorker) -> Awaitable[ToPlane]:
        self.silent = isinstance(message, Configure) and len(self.all_heard(Configure)) == 2
        return super().asked(message)


async def test_a_worker_is_taken_back_to_the_replicas_of_that_moment(gateway: Control) -> None:
    gateway.workers[1].problem = "it has no such file"
    slow, last = Slow(gateway.plane, "2.2", gateway.supervisor), gateway.worker("3.3")
    for worker in (slow, last):
        assert await worker.join() == ""
    gateway.plane.roster.enroll("e", Written((Replica("a", "http://h:1"),)))
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    reloading = asyncio.ensure_future(gateway.plane.reload())
    await slow.watch.until(lambda: bool(slow.unanswered))
    assert gateway.plane.drain_replica("e", "a")
    slow.unanswered[0].set_result(Configured())
    async with asyncio.timeout(60):
        assert not await reloading
    assert [[*unpacked(configured.members)] for configured in last.all_heard(Configure)] == [
        [],
        [],
        [Member("e", "a", draining=True)],
    ]


def keyed(count: int) -> str:
    keys = ", ".join(f"{{id: k{number}, sha256: '{number:064x}'}}" for number in range(count))
    return FILE + f"auth: {{keys: [{keys}]}}\n"


class Freed:
    """In the place of `letting_go`: how many of some objects are there at each of its steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
        self.there: WeakSet[Any] = WeakSet()
        self.counts: list[int] = []
        monkeypatch.setattr(f"{module}.letting_go", self)

    def __call__(self, held: list[Any]) -> Iterator[None]:
        self.counts.append(len(self.there))
        for _ in letting_go(held):
            self.counts.append(len(self.there))
            yield


@pytest.mark.parametrize("more", ["", "health: {interval_s: 9}\n"])
@pytest.mark.parametrize("how", ["told to", "found"])
async def test_keys_that_are_dropped_are_let_go_of_a_few_at_a_time(
    gateway: Control, monkeypatch: pytest.MonkeyPatch, more: str, how: str
) -> None:
    gateway.path.write_text(keyed(100))
    assert await gateway.plane.reload()
    await gateway.plane.watch_files()  # it remembers what it has seen
    freed = Freed(monkeypatch, "gateway.control.configuration.reload")
    freed.there.update(gateway.plane.settings.auth.keys)
    gateway.path.write_text(FILE + more)
    if how == "told to":
        assert await gateway.plane.reload()
    else:
        await gateway.plane.watch_files()
    assert (freed.counts[0], freed.counts[-1]) == (100, 0)
    assert max(before - after for before, after in pairwise(freed.counts)) == 8


async def test_so_are_those_of_a_configuration_that_is_refused(
    gateway: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = Freed(monkeypatch, "gateway.control.configuration.reload")

    async def refusing(settings: Settings) -> None:
        freed.there.update(settings.auth.keys)
        raise ValueError("no")

    monkeypatch.setattr(gateway.plane._reload, "_trial", refusing)
    gateway.path.write_text(keyed(100))
    assert not await gateway.plane.reload()
    assert (freed.counts[0], freed.counts[-1]) == (100, 0)
    assert max(before - after for before, after in pairwise(freed.counts)) == 8


async def test_a_reload_of_what_is_in_use_makes_no_settings_of_it(
    gateway: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.path.write_text(keyed(1))
    assert await gateway.plane.reload()
    settings = gateway.plane.settings
    monkeypatch.setattr("gateway.control.configuration.reload.opened", None)
    assert await gateway.plane.reload()
    assert gateway.plane.settings is settings


async def test_a_gateway_that_starts_in_the_middle_of_a_reload_waits_for_its_end(
    gateway: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def apply(settings: Settings) -> None:
        steps.append("begins")
        begun.set()
        await go_on.wait()
        steps.append("ends")

    monkeypatch.setattr(gateway.plane.launches, "apply", apply)
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    reloading = asyncio.ensure_future(gateway.plane.reload())
    await begun.wait()
    starting = asyncio.ensure_future(gateway.plane.start())
    for _ in range(100):
        await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(60):
        assert await reloading
        await starting
    assert steps == ["begins", "ends", "begins", "ends"]


async def test_what_fails_once_workers_use_a_configuration_is_done_again_at_the_next_look(
    gateway: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, applied = True, list[float]()

    async def apply(settings: Settings) -> None:
        if failing:
            raise OSError(errno.ENOSPC, "no space left")
        applied.append(settings.health.interval_s)

    monkeypatch.setattr(gateway.plane.launches, "apply", apply)
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    for again in (gateway.plane.watch_files, gateway.plane.watch_files, gateway.plane.reload):
        with pytest.raises(OSError, match="no space left"):
            await again()
    failing = False
    await gateway.plane.watch_files()
    assert applied == [9.0]
    await gateway.plane.watch_files()
    assert await gateway.plane.reload()
    assert applied == [9.0]
    for worker in gateway.workers:
        assert len(worker.all_heard(Configure)) == 2  # it had it at once
    assert await gateway.count("penstock_config_reloads_total", result="applied") == 1


async def test_a_bad_file_after_such_a_failure_is_complained_of_once_and_what_is_in_use_is_done_to_its_end(
    gateway: Control, monkeypatch: pytest.MonkeyPatch, quiet: list[Any]
) -> None:
    failing, applied = True, list[float]()

    async def apply(settings: Settings) -> None:
        if failing:
            raise OSError(errno.ENOSPC, "no space left")
        applied.append(settings.health.interval_s)

    monkeypatch.setattr(gateway.plane.launches, "apply", apply)
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    with pytest.raises(OSError, match="no space left"):
        await gateway.plane.watch_files()
    gateway.path.write_text("engines: [")
    await gateway.plane.watch_files()
    for _ in range(3):
        with pytest.raises(OSError, match="no space left"):
            await gateway.plane.watch_files()
    failing = False
    for _ in range(3):
        await gateway.plane.watch_files()
    assert applied == [9.0]
    assert [line["event"] for line in quiet] == ["config_refused", "config_applied"]
    results = [await gateway.count("penstock_config_reloads_total", result=result) for result in ("refused", "applied")]
    assert results == [1, 1]


async def test_a_gateway_that_drains_keeps_its_configuration_and_says_so_once(
    gateway: Control, quiet: list[Any]
) -> None:
    await gateway.plane.stop(0.0)
    gateway.path.write_text(FILE.replace("models: {m:", "models: {n:"))
    await gateway.plane.watch_files()
    gateway.path.write_text("engines: [")
    for _ in range(2):
        await gateway.plane.watch_files()
    assert not await gateway.plane.reload()
    assert [len(worker.all_heard(Configure)) for worker in gateway.workers] == [1, 1]
    for worker in gateway.workers:  # a log may be rotated all the same
        await worker.watch.until(functools.partial(heard, worker, Reopen))
    assert set(gateway.plane.settings.models) == {"m"}
    assert [line["event"] for line in quiet if line["event"].startswith("config")] == ["config_ignored"]
    results = [await gateway.count("penstock_config_reloads_total", result=result) for result in ("refused", "applied")]
    assert results == [0, 0]


async def test_what_is_unchanged_is_no_reason_to_say_that_a_gateway_drains(gateway: Control, quiet: list[Any]) -> None:
    await gateway.plane.stop(0.0)
    for _ in range(2):
        await gateway.plane.watch_files()
    assert quiet == []


async def test_a_reload_of_which_no_worker_has_heard_is_given_up_when_the_gateway_begins_to_drain(
    gateway: Control, monkeypatch: pytest.MonkeyPatch, quiet: list[Any]
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    check = gateway.plane._engines.check

    async def slowly(settings: Settings) -> None:
        begun.set()
        await go_on.wait()
        await check(settings)

    monkeypatch.setattr(gateway.plane._reload, "_trial", slowly)
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    reloading = asyncio.ensure_future(gateway.plane.reload())
    async with asyncio.timeout(60):
        await begun.wait()
        await gateway.plane.stop(0.0)
        go_on.set()
        assert not await reloading
    assert [len(worker.all_heard(Configure)) for worker in gateway.workers] == [1, 1]
    assert gateway.plane.settings.health.interval_s == 5.0
    assert [line["event"] for line in quiet] == ["config_ignored"]


async def test_one_of_which_workers_have_heard_is_taken_by_all_of_them_and_restarts_no_engine(
    gateway: Control, monkeypatch: pytest.MonkeyPatch, quiet: list[Any]
) -> None:
    async def apply(settings: Settings) -> None:
        raise AssertionError("an engine would be started anew, or stopped, under the streams that it still has")

    monkeypatch.setattr(gateway.plane.launches, "apply", apply)
    first, second = gateway.workers
    first.silent = second.silent = True
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    reloading = asyncio.ensure_future(gateway.plane.reload())
    async with asyncio.timeout(60):
        for worker in gateway.workers:
            await worker.watch.until(functools.partial(heard, worker, Configure, 2))
            worker.silent = False
        await gateway.plane.stop(0.0)
        for worker in gateway.workers:
            worker.unanswered[0].set_result(Configured())
        assert await reloading
    assert gateway.plane.settings.health.interval_s == 9.0
    assert [line["event"] for line in quiet] == ["config_applied"]


async def test_a_worker_that_dies_during_a_reload_holds_nothing_up(gateway: Control) -> None:
    first, second = gateway.workers
    first.silent = second.silent = True
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    reloading = asyncio.ensure_future(gateway.plane.reload())
    await first.watch.until(lambda: len(first.unanswered) == 1)
    await second.watch.until(lambda: len(second.unanswered) == 1)
    gateway.plane.detach("1.1")
    first.unanswered[0].set_result(Configured())
    async with asyncio.timeout(60):
        assert await reloading
        assert await gateway.plane.reload()


async def test_a_worker_that_joins_during_a_reload_gets_what_comes_of_it(gateway: Control) -> None:
    first, _ = gateway.workers
    first.silent = True
    new = FILE + "health: {interval_s: 9}\n"
    gateway.path.write_text(new)
    reloading = asyncio.ensure_future(gateway.plane.reload())
    await first.watch.until(lambda: len(first.unanswered) == 1)
    newcomer = gateway.worker("0.2")
    joining = asyncio.ensure_future(newcomer.join())
    await asyncio.sleep(0)
    assert newcomer.heard == []
    first.unanswered[0].set_result(Configured())
    async with asyncio.timeout(60):
        assert await reloading
        assert await joining == ""
    assert digests(newcomer) == [digest(new)]


async def test_an_engine_is_stopped_only_when_no_worker_sends_to_it_any_more(
    gateway: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[int]] = []

    async def apply(settings: Settings) -> None:
        told.append([len(worker.all_heard(Configure)) for worker in gateway.workers])

    monkeypatch.setattr(gateway.plane.launches, "apply", apply)
    gateway.path.write_text(FILE.replace("{m:", "{n:"))
    assert await gateway.plane.reload()
    assert told == [[2, 2]]


async def test_a_bad_file_is_reported_once_by_the_watch(gateway: Control, quiet: list[Any]) -> None:
    gateway.path.write_text("engines: [")
    for _ in range(3):
        await gateway.plane.watch_files()
    assert [line["event"] for line in quiet].count("config_refused") == 1
    gateway.path.write_text(FILE.replace("{m:", "{n:"))
    await gateway.plane.watch_files()
    assert set(gateway.plane.settings.models) == {"n"}


async def test_a_file_that_becomes_a_pipe_freezes_nothing_and_is_told_of(gateway: Control, quiet: list[Any]) -> None:
    gateway.path.unlink()
    os.mkfifo(gateway.path)
    async with asyncio.timeout(60):
        await gateway.plane.watch_files()
        assert not await gateway.plane.reload()
    assert "it is not a regular file" in next(line["why"] for line in quiet if line["event"] == "config_refused")


async def test_a_changed_file_of_authorities_reaches_every_worker_though_no_text_has_changed(gateway: Control) -> None:
    authorities = gateway.path.with_name("ca.pem")
    trustme.CA().cert_pem.write_to_path(authorities)
    gateway.path.write_text(FILE.replace("kind: openai", f"kind: openai, ca_file: '{authorities}'"))
    assert await gateway.plane.reload()
    await gateway.plane.watch_files()
    assert [len(digests(worker)) for worker in gateway.workers] == [2, 2]
    trustme.CA().cert_pem.write_to_path(authorities)
    await gateway.plane.watch_files()
    assert [len(digests(worker)) for worker in gateway.workers] == [3, 3]
    await gateway.plane.watch_files()
    assert [len(digests(worker)) for worker in gateway.workers] == [3, 3]
