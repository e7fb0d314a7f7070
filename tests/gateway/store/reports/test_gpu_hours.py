"""What own engines cost while they were idle is told beside what requests paid, once, to the hour."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.process.supervisor import Supervisor
from gateway.store.__main__ import open_database
from gateway.store.contents.keeper import ContentKeeper
from gateway.store.contents.table import ContentTable
from gateway.store.database.opening import engine_of, upgrade
from gateway.store.database.port import DatabaseAway
from gateway.store.drift.keeper import DriftKeeper
from gateway.store.drift.opened import drift_table
from gateway.store.evaluations.evaluating import Evaluating
from gateway.store.evaluations.table import EvaluationTable
from gateway.store.feedback.messages import FeedbackGiven
from gateway.store.messages import GpuHour, GpuHours
from gateway.store.reports.asked import answer, wanted_sums
from gateway.store.reports.gpu_hours import gpu_report, note
from gateway.store.sending.gpu_teller import GpuTeller
from gateway.store.sending.shipping import Shipping
from gateway.store.writing.client import StoreClient, StoreClients
from gateway.store.writing.writer import Writer
from tests.gateway.store.chaos import Gateway, running
from tests.gateway.store.records import sqlite_url

pytestmark = pytest.mark.slow

HOUR = 494_444
RUN, OTHER = "0123456789ab", "ba9876543210"


@pytest.fixture
def url(url: str) -> str:
    open_database(url).close()
    return url


def told(url: str, since_hour: int = 0, until_hour: int = 10**6) -> list[tuple[str, float, float]]:
    engine = engine_of(url, reading=True)
    with engine.connect() as connection:
        rows = gpu_report(connection, since_hour * 3_600_000, until_hour * 3_600_000)
    engine.dispose()
    return [(row["engine"], row["busy_usd"], row["idle_usd"]) for row in rows]


def test_what_is_told_twice_or_late_counts_once(url: str) -> None:
    earlier, later = GpuHour(HOUR, "llama", 10**9, 3 * 10**9), GpuHour(HOUR, "llama", 2 * 10**9, 4 * 10**9)
    for hours in ([earlier], [later], [later], [earlier]):
        note(url, RUN, hours)
    note(url, OTHER, [GpuHour(HOUR, "llama", 5 * 10**8, 0), GpuHour(HOUR + 1, "qwen", 0, 10**9)])
    assert told(url) == [("llama", 2.5, 4.0), ("qwen", 0.0, 1.0)]
    assert told(url, HOUR + 1) == [("qwen", 0.0, 1.0)]
    assert told(url, 0, HOUR + 1) == [("llama", 2.5, 4.0)]


def test_a_store_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    engine = engine_of(url)
    upgrade(engine, version=2)
    engine.dispose()
    assert told(url) == []


def test_a_store_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(DatabaseAway):
        note(sqlite_url(tmp_path), RUN, [GpuHour(HOUR, "llama", 1, 1)])


def test_the_report_shows_idle_apart(url: str) -> None:
    note(url, RUN, [GpuHour(HOUR, "llama", 10**9, 3 * 10**9)])
    since = ("--since", "2026-05-28")
    shown = CliRunner().invoke(app, ["cost", "report", "--store", url, *since]).output
    assert shown.splitlines()[-1].split() == ["llama", "1.00", "3.00", "0.75"]
    said = json.loads(CliRunner().invoke(app, ["cost", "report", "--store", url, *since, "--json"]).output)
    gpu = [{"engine": "llama", "busy_usd": 1.0, "idle_usd": 3.0, "idle_ratio": 0.75}]
    assert said == {"data": [], "shadows": [], "gpu": gpu}
    assert json.loads(answer(url, wanted_sums({"since": "2026-05-28"}, 1_780_000_000.0)))["gpu"] == gpu


class Meters:
    """What engines have cost since the worker started."""

    def __init__(self) -> None:
        self.usd: dict[tuple[str, str], float] = {}

    def __call__(self) -> list[tuple[tuple[str, str], float]]:
        return list(self.usd.items())


@pytest.mark.anyio
async def test_what_grows_is_the_running_hours_and_what_stands_is_not_told_again(tmp_path: Path) -> None:
    supervisor, meters, now_s = Supervisor(), Meters(), [HOUR * 3600.0]
    teller = GpuTeller(RUN, str(tmp_path / "s"), tmp_path, supervisor, meters, close_s=0.0, now_s=lambda: now_s[0])
    assert teller.look() == []
    meters.usd = {("llama", "busy"): 0.25, ("llama", "idle"): 0.5, ("qwen", "busy"): 0.0, ("qwen", "idle"): 0.0}
    assert teller.look() == [GpuHour(HOUR, "llama", 250_000_000, 500_000_000)]
    assert teller.look() == []
    now_s[0] += 1800.0
    meters.usd["llama", "idle"] = 0.75
    assert teller.look() == [GpuHour(HOUR, "llama", 250_000_000, 750_000_000)]
    now_s[0] += 1800.0
    meters.usd["llama", "busy"] = 0.5
    assert teller.look() == [GpuHour(HOUR + 1, "llama", 250_000_000, 0)]
    await teller.close()
    await supervisor.close()


@pytest.mark.anyio
async def test_a_gateway_tells_what_its_engines_cost_when_it_ends(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, workers=2)
    async with running(gateway):
        async with asyncio.timeout(30):
            port = gateway._engine_port
            engine = {"kind": "openai", "api_key": "k", "base_url": f"http://127.0.0.1:{port}/v1"}
            gateway.changes = {"engines": {"e": {**engine, "gpu_usd_per_hour": 36_000}}}
            gateway.configure()
            gateway.reload()
            while not (gpu := await gateway.metric("penstock_gpu_cost_usd_total")):
                await asyncio.sleep(0.02)
        await gateway.ask(50)
    ((engine_name, busy_usd, idle_usd),) = told(gateway.url)
    assert engine_name == "e"
    assert busy_usd > 0
    assert busy_usd + idle_usd >= gpu


async def never() -> list[FeedbackGiven]:
    raise AssertionError("nobody is to tell anything")


@pytest.mark.anyio
async def test_hours_that_cannot_be_read_are_told_once(tmp_path: Path) -> None:
    """Their worker has one batch on its way at once, so it would tell no other."""
    url, supervisor = sqlite_url(tmp_path), Supervisor()
    writer = Writer(lambda: open_database(url), tmp_path, "w")
    keeper = ContentKeeper(lambda: ContentTable(url), tmp_path, "w")
    drift = DriftKeeper(lambda: drift_table(writer, url))
    evaluating = Evaluating(lambda: EvaluationTable(url), lambda _given: never(), supervisor.spawn)
    writer.start()
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: StoreClient(writer, keeper, drift, evaluating, url, tmp_path, StoreClients(), supervisor).link,
        str(tmp_path / "s"),
    )
    shipping = Shipping(RUN, str(tmp_path / "s"), tmp_path, supervisor.spawn, kind=GpuHours, window=1, spills=False)
    shipping.take([b"\xc1"], 1)
    shipping.take([msgspec.msgpack.encode([GpuHour(HOUR, "llama", 10**9, 0)])], 1)
    await shipping.close(20.0)
    server.close()
    await supervisor.close()
    writer.close()
    assert (shipping.dropped, told(url)) == (0, [("llama", 1.0, 0.0)])


def test_a_message_is_what_it_was() -> None:
    hours = [GpuHour(HOUR, "llama", 1, 2)]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(hours), type=list[GpuHour]) == hours
