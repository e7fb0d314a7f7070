"""The control plane as its workers see it: messages in, messages out. The workers are fake; nothing is launched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from engines.model import Usage
from gateway.control import plane as control
from gateway.control.plane import Plane, Source
from gateway.settings import ConfigError, Settings
from gateway.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics
from gateway.workers.messages import (
    AskCounters,
    AskExposition,
    Configure,
    Configured,
    Counters,
    Drain,
    Drained,
    Exposition,
    Fleet,
    Load,
    RemoteLoad,
    RemoteTokens,
    Reopen,
    ReplicaAt,
    ToWorker,
)
from tests.gateway.children import Watch

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet")]

FILE = """
server: {port: 8080, workers: 2}
engines: {e: {kind: openai, base_url: "http://127.0.0.1:9/v1"}}
models: {m: {targets: [{engine: e}]}}
"""


@pytest.fixture
def quiet() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


class FakeWorker:
    """The other end of a link; answers as a worker does unless it is `silent`."""

    def __init__(self, plane: Plane, name: str) -> None:
        self.name = name
        self.plane = plane
        self.heard: list[ToWorker] = []
        self.problem = ""
        self.silent = False
        self.watch = Watch()
        self.metrics = Metrics(["m"])
        plane.attach(name, self)

    def send(self, message: ToWorker) -> None:
        self.heard.append(message)
        self.watch.changed()
        if not self.silent:
            asyncio.get_running_loop().call_soon(self._answer, message)

    def _answer(self, message: ToWorker) -> None:
        match message:
            case Configure():
                self.plane.receive(self.name, Configured(self.problem))
            case AskCounters():
                self.plane.receive(self.name, Counters(message.number, self.metrics.snapshot()))
            case Drain():
                self.plane.receive(self.name, Drained())

    def close(self) -> None: ...

    def told(self, kind: type[ToWorker]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]

    def served(self, requests: int) -> None:
        for _ in range(requests):
            self.metrics.series("m", "e").settle(200, 0.1, usage=Usage(3, 4))


class Control:
    """A plane over a file, its supervisor, and its fake workers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text(FILE)
        self.supervisor = Supervisor()
        self.plane = Plane(Source(path, environ={}), self.supervisor, workers=2)
        self.workers = [FakeWorker(self.plane, name) for name in ("0.0", "1.1")]

    async def count(self, name: str, **labels: str) -> float:
        """The sum of one metric's samples with these labels in the merged exposition."""
        text = (await self.plane.exposition()).decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Control]:
    gateway = Control(tmp_path / "penstock.yaml")
    yield gateway
    await gateway.supervisor.close()


# -- configuration ---------------------------------------------------------------------------------------------------


async def test_a_worker_is_told_everything_when_it_joins(gateway: Control) -> None:
    assert gateway.workers[0].heard == [Configure(FILE, str(gateway.path.parent), {}, 2, [], [])]
    assert await gateway.plane.configured("0.0") == ""


async def test_why_a_worker_refused_is_told(gateway: Control) -> None:
    newcomer = FakeWorker(gateway.plane, "0.2")
    newcomer.problem = "${KEY} is not set"
    assert await gateway.plane.configured("0.2") == "${KEY} is not set"


async def test_a_file_that_cannot_be_used_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("engines: {}")
    with pytest.raises(ConfigError):
        Plane(Source(tmp_path / "bad.yaml", environ={}), Supervisor(), workers=1)


async def test_a_new_file_reaches_every_worker_whole(gateway: Control) -> None:
    new = FILE.replace("models: {m:", "models: {n:")
    gateway.path.write_text(new)
    assert await gateway.plane.reload()
    for worker in gateway.workers:
        assert [message.text for message in worker.told(Configure)] == [FILE, new]
        assert len(worker.told(Reopen)) == 1
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
    assert [len(worker.told(Configure)) for worker in gateway.workers] == [1, 1]
    assert set(gateway.plane.settings.models) == {"m"}
    assert why in next(line["why"] for line in quiet if line["event"] == "config_refused")
    assert await gateway.count("penstock_config_reloads_total", result="refused") == 1


async def test_both_results_of_a_reload_are_there_before_the_first(gateway: Control) -> None:
    text = (await gateway.plane.exposition()).decode()  # a counter that begins at 1 has never increased
    assert [line for line in text.splitlines() if line.startswith("penstock_config_reloads_total{")] == [
        'penstock_config_reloads_total{result="applied"} 0',
        'penstock_config_reloads_total{result="refused"} 0',
    ]


async def test_an_unchanged_file_reopens_the_logs_and_nothing_else(gateway: Control) -> None:
    assert await gateway.plane.reload()
    assert [len(worker.told(Configure)) for worker in gateway.workers] == [1, 1]
    assert [len(worker.told(Reopen)) for worker in gateway.workers] == [1, 1]


async def test_a_worker_that_refuses_a_reload_is_not_passed_over_in_silence(gateway: Control) -> None:
    await gateway.plane.configured("1.1")
    gateway.workers[1].problem = "it has no such file"
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    assert not await gateway.plane.reload()
    assert await gateway.count("penstock_config_reloads_total", result="refused") == 1


async def test_a_worker_that_dies_during_a_reload_holds_nothing_up(gateway: Control) -> None:
    await asyncio.gather(*(gateway.plane.configured(worker.name) for worker in gateway.workers))
    for worker in gateway.workers:
        worker.silent = True
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    reloading = asyncio.ensure_future(gateway.plane.reload())
    first, second = gateway.workers
    await first.watch.until(lambda: len(first.told(Configure)) == 2)
    await second.watch.until(lambda: len(second.told(Configure)) == 2)
    gateway.plane.detach("1.1")
    gateway.plane.receive("0.0", Configured())
    async with asyncio.timeout(10):
        assert await reloading
        assert await gateway.plane.reload()


async def test_a_reload_while_a_worker_still_starts_keeps_its_first_answer_awaited(gateway: Control) -> None:
    newcomer = FakeWorker(gateway.plane, "0.2")
    newcomer.silent = True
    first = asyncio.ensure_future(gateway.plane.configured("0.2"))
    await asyncio.sleep(0)
    gateway.path.write_text(FILE + "health: {interval_s: 9}\n")
    reloading = asyncio.ensure_future(gateway.plane.reload())
    await newcomer.watch.until(lambda: len(newcomer.told(Configure)) == 2)
    gateway.plane.receive("0.2", Configured())
    async with asyncio.timeout(10):
        assert await first == ""
        assert await reloading


async def test_an_engine_is_stopped_only_when_no_worker_sends_to_it_any_more(
    gateway: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[int]] = []

    async def apply(settings: Settings) -> None:
        told.append([len(worker.told(Configure)) for worker in gateway.workers])

    monkeypatch.setattr(gateway.plane._launches, "apply", apply)
    gateway.path.write_text(FILE.replace("{m:", "{n:"))
    assert await gateway.plane.reload()
    assert told == [[2, 2]]


async def test_a_bad_file_is_reported_once_by_the_watch(gateway: Control, quiet: list[Any]) -> None:
    gateway.path.write_text("engines: [")
    for _ in range(3):
        await gateway.plane._reload_if_changed()
    assert [line["event"] for line in quiet].count("config_refused") == 1
    gateway.path.write_text(FILE.replace("{m:", "{n:"))
    await gateway.plane._reload_if_changed()
    assert set(gateway.plane.settings.models) == {"n"}


# -- counters --------------------------------------------------------------------------------------------------------


async def test_counters_of_all_workers_add_up(gateway: Control) -> None:
    gateway.workers[0].served(3)
    gateway.workers[1].served(4)
    assert await gateway.count("penstock_requests_total", code="200") == 7
    assert await gateway.count("penstock_tokens_total", kind="input") == 21


async def test_counters_never_go_backwards_when_a_worker_is_replaced(gateway: Control) -> None:
    gateway.workers[0].served(3)
    gateway.workers[1].served(4)
    assert await gateway.count("penstock_requests_total") == 7
    gateway.plane.detach("0.0")
    assert await gateway.count("penstock_requests_total") == 7
    FakeWorker(gateway.plane, "0.2").served(1)
    assert await gateway.count("penstock_requests_total") == 8


async def test_a_late_worker_counts_as_last_heard(gateway: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.workers[0].served(3)
    assert await gateway.count("penstock_requests_total") == 3
    monkeypatch.setattr(control, "COUNTERS_TIMEOUT_S", 0.01)
    gateway.workers[0].served(1)
    gateway.workers[0].silent = True
    gateway.workers[1].served(1)
    assert await gateway.count("penstock_requests_total") == 4


async def test_a_worker_that_dies_while_it_is_asked_holds_nothing_up(gateway: Control) -> None:
    gateway.workers[0].silent = True
    asking = asyncio.ensure_future(gateway.count("penstock_requests_total"))
    await asyncio.sleep(0)
    gateway.plane.detach("0.0")
    async with asyncio.timeout(1):
        assert await asking == 0


async def test_the_worker_that_was_scraped_is_the_one_that_is_answered(gateway: Control) -> None:
    gateway.plane.receive("1.1", AskExposition(5))
    await gateway.workers[1].watch.until(lambda: bool(gateway.workers[1].told(Exposition)))
    (answer,) = gateway.workers[1].told(Exposition)
    assert (answer.number, b"penstock_config_reloads_total" in answer.text) == (5, True)
    assert gateway.workers[0].told(Exposition) == []


# -- load ------------------------------------------------------------------------------------------------------------


async def test_each_worker_is_told_what_the_others_have_in_flight(gateway: Control) -> None:
    third = FakeWorker(gateway.plane, "2.2")
    gateway.plane.receive("0.0", Load([RemoteTokens("e", "0", 10), RemoteTokens("e", "1", 1)]))
    gateway.plane.receive("1.1", Load([RemoteTokens("e", "0", 5)]))
    await gateway.plane._share_load()
    first, second = (worker.told(RemoteLoad)[-1].tokens for worker in gateway.workers)
    assert first == [RemoteTokens("e", "0", 5)]
    assert second == [RemoteTokens("e", "0", 10), RemoteTokens("e", "1", 1)]
    assert third.told(RemoteLoad)[-1].tokens == [RemoteTokens("e", "0", 15), RemoteTokens("e", "1", 1)]


async def test_what_a_dead_worker_had_in_flight_is_forgotten(gateway: Control) -> None:
    gateway.plane.receive("0.0", Load([RemoteTokens("e", "0", 10)]))
    gateway.plane.detach("0.0")
    await gateway.plane._share_load()
    assert gateway.workers[1].told(RemoteLoad)[-1].tokens == []


# -- health ----------------------------------------------------------------------------------------------------------


async def server(handler: Callable[[], bool]) -> tuple[asyncio.Server, str]:
    """A server whose every answer is 200 or 503, as `handler` says."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = b"200 OK" if handler() else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    return listening, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def test_workers_hear_when_a_replica_goes_down_and_comes_up_and_not_otherwise(tmp_path: Path) -> None:
    results = [True, True, False, False, False, True, True]
    told = iter(results)
    listening, url = await server(lambda: next(told))
    file = tmp_path / "penstock.yaml"
    file.write_text(
        f"engines: {{e: {{kind: vllm, replicas: [{{url: '{url}', id: a}}]}}}}\n"
        "models: {m: {targets: [{engine: e}]}}\n"
        "health: {interval_s: 3600, timeout_s: 10, unhealthy_after: 2, healthy_after: 1}\n"
    )
    supervisor = Supervisor()
    plane = Plane(Source(file, environ={}), supervisor, workers=1)
    worker = FakeWorker(plane, "0")
    plane._rebuild_probes()
    heard: list[int] = []
    try:
        for _ in results:
            await plane._probe_all()
            heard.append(len(worker.told(Fleet)))
        assert heard == [0, 0, 0, 1, 1, 2, 2]
        assert worker.told(Fleet) == [Fleet([], [ReplicaAt("e", "a")]), Fleet([], [])]
        late = FakeWorker(plane, "1")
        assert late.told(Configure)[0].down == []
    finally:
        listening.close()
        await supervisor.close()


async def test_a_new_probe_timeout_holds_from_the_reload_on(tmp_path: Path) -> None:
    listening, url = await server(lambda: True)
    text = (
        f"engines: {{e: {{kind: vllm, replicas: [{{url: '{url}'}}]}}}}\n"
        "models: {m: {targets: [{engine: e}]}}\n"
        "health: {interval_s: 3600, timeout_s: TIMEOUT}\n"
    )
    file = tmp_path / "penstock.yaml"
    file.write_text(text.replace("TIMEOUT", "10"))
    supervisor = Supervisor()
    plane = Plane(Source(file, environ={}), supervisor, workers=1)
    plane._rebuild_probes()
    try:
        before = plane._built["e"].engine
        file.write_text(text.replace("TIMEOUT", "20"))
        assert await plane.reload()
        assert plane._built["e"].engine is not before
        assert await plane.reload()
    finally:
        listening.close()
        await supervisor.close()


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_stopping_drains_every_worker(gateway: Control) -> None:
    await gateway.plane.stop(7.0)
    assert [worker.heard[-1] for worker in gateway.workers] == [Drain(7.0), Drain(7.0)]


async def test_the_grace_period_is_that_of_the_configuration_in_use(gateway: Control) -> None:
    gateway.path.write_text(FILE.replace("workers: 2", "workers: 2, grace_s: 3"))
    assert await gateway.plane.reload()
    await gateway.plane.stop()
    assert [worker.heard[-1] for worker in gateway.workers] == [Drain(3.0), Drain(3.0)]


async def test_a_worker_that_dies_while_it_drains_holds_nothing_up(gateway: Control) -> None:
    gateway.workers[0].silent = True
    stopping = asyncio.ensure_future(gateway.plane.stop(60.0))
    await asyncio.sleep(0)
    gateway.plane.detach("0.0")
    async with asyncio.timeout(10):
        await stopping


async def test_what_a_worker_says_after_it_was_given_up_is_ignored(gateway: Control) -> None:
    gateway.workers[0].served(3)
    gateway.plane.detach("0.0")
    for message in (Configured("late"), Drained(), AskExposition(1)):
        gateway.plane.receive("0.0", message)
    gateway.plane.detach("0.0")
    assert await gateway.plane.configured("0.0") == ""
