"""Whatever is killed: what clients were answered is what the records say, to the token, and what is lost is counted."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.gateway.store import postgresql
from tests.gateway.store.chaos import COST_NANOUSD, USAGE, Gateway, limit_files, running, runs
from tests.gateway.store.records import stored, sums

pytestmark = [pytest.mark.store, pytest.mark.anyio]

COUNT = 3_000


def check_whole(gateway: Gateway) -> None:
    """Every answer has its record, once, and the report is their sum. Nothing was killed that held any."""
    records = stored(gateway.url)
    found = [record["record_id"] for record in records]
    assert len(found) == len(set(found))
    assert set(gateway.answered) <= set(found)
    extra = [record for record in records if record["record_id"] not in set(gateway.answered)]
    assert [record for record in extra if record["status"] != 499] == []
    check_report(gateway)


def check_report(gateway: Gateway) -> None:
    records = stored(gateway.url)
    for by in ("model", "key"):
        (row,) = sums(gateway.url, by)
        assert row["requests"] == len(records)
        answered = [record for record in records if record["cost_usd"] is not None]
        assert row["input_tokens"] == len(answered) * USAGE["prompt_tokens"]
        assert row["output_tokens"] == len(answered) * USAGE["completion_tokens"]
        assert round(row["cost_usd"] * 1e9) == len(answered) * COST_NANOUSD


async def test_records_report_and_counters_agree_in_a_run_without_a_kill(tmp_path: Path) -> None:
    async with running(Gateway(tmp_path, workers=2)) as gateway:
        await gateway.ask(COUNT)
        counted = await gateway.requests_counted()
    assert len(gateway.answered) == COUNT == counted
    check_whole(gateway)
    assert sum(recorded for recorded, _ in runs(tmp_path)) == COUNT
    assert all(recorded == settled for recorded, settled in runs(tmp_path))


async def test_a_killed_writer_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    async with running(Gateway(tmp_path)) as gateway:

        def kill(answered: int) -> None:
            if answered in (COUNT // 4, COUNT // 2):
                for pid in gateway.children("gateway.store"):
                    os.kill(pid, signal.SIGKILL)

        await gateway.ask(COUNT, meanwhile=kill)
    assert len(gateway.answered) == COUNT
    check_whole(gateway)
    assert runs(tmp_path) == [(COUNT, COUNT)]


async def test_a_killed_gateway_loses_little_and_its_next_start_counts_that(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with running(Gateway(tmp_path)) as gateway:
        killed: list[asyncio.Future[None]] = []
        began_s = loop.time()

        def kill(answered: int) -> None:
            if answered == COUNT // 2:
                killed.append(asyncio.ensure_future(gateway.kill()))

        asking = asyncio.ensure_future(gateway.ask(COUNT // 2 + 40, meanwhile=kill))
        await asking
        per_s = len(gateway.answered) / (loop.time() - began_s)
        await killed[0]
        before = len(gateway.answered)
        await gateway.start()
        await gateway.ask(100)
    records = {record["record_id"] for record in stored(gateway.url)}
    missing = len(set(gateway.answered) - records)
    (recorded, settled), (after, settled_after) = sorted(runs(tmp_path), reverse=True)
    lost = settled - recorded
    # What was settled in the very turn of the kill may not have left any more: at most one answer of each client.
    assert missing <= lost <= missing + 8
    assert (recorded + after, after, settled_after) == (len(records), 100, 100)
    assert before - 8 <= settled
    assert lost <= 0.1 * per_s * 2 + 64 + 8  # 100 ms of traffic; the test's own load is no steady one
    check_report(gateway)


async def test_of_two_workers_one_is_killed_and_a_reload_comes_in_between(tmp_path: Path) -> None:
    async with running(Gateway(tmp_path, workers=2)) as gateway:

        def disturb(answered: int) -> None:
            if answered == COUNT // 4:
                os.kill(gateway.children("gateway.workers")[0], signal.SIGKILL)
            elif answered == COUNT // 2:
                gateway.configure(
                    models={"m": {"targets": [{"engine": "e", "model": "up"}]}, "n": {"targets": [{"engine": "e"}]}}
                )
                gateway.reload()

        await gateway.ask(COUNT, meanwhile=disturb)
    records = {record["record_id"] for record in stored(gateway.url)}
    missing = len(set(gateway.answered) - records)
    ended = runs(tmp_path)
    lost = sum(settled - recorded for recorded, settled in ended)
    assert len(ended) >= 2
    assert missing <= lost <= missing + 8
    assert sum(recorded for recorded, _ in ended) == len(records)
    check_report(gateway)


async def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path: Path) -> None:
    async with running(Gateway(tmp_path)) as gateway:

        def fill(answered: int) -> None:
            if answered in (COUNT // 4, COUNT // 2):
                for pid in (gateway.pid, gateway.writer_pid):
                    limit_files(pid, 1 if answered == COUNT // 4 else None)

        await gateway.ask(COUNT, meanwhile=fill)
    assert len(gateway.answered) == COUNT
    check_whole(gateway)
    assert runs(tmp_path) == [(COUNT, COUNT)]


async def test_a_killed_postgresql_that_comes_back_has_every_record(tmp_path: Path) -> None:
    with postgresql.running() as server:
        async with running(Gateway(tmp_path, workers=2, store=server.url)) as gateway:

            def disturb(answered: int) -> None:
                if answered == COUNT // 3:
                    server.kill()
                elif answered == 2 * COUNT // 3:
                    server.start()

            await gateway.ask(COUNT, meanwhile=disturb)
            counted = await gateway.requests_counted()
        assert len(gateway.answered) == COUNT == counted
        check_whole(gateway)


async def test_a_gateway_starts_and_serves_while_postgresql_is_away(tmp_path: Path) -> None:
    with postgresql.running() as server:
        server.kill()
        async with running(Gateway(tmp_path, store=server.url)) as gateway:
            await gateway.ask(200)
            server.start()
            await gateway.ask(100)
        assert len(gateway.answered) == 300
        check_whole(gateway)


async def test_a_store_that_is_too_new_is_told_at_start(tmp_path: Path) -> None:
    from gateway.store.database.opening import engine_of, upgrade

    gateway = Gateway(tmp_path)
    engine = engine_of(gateway.url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE schema_state SET version = 99, oldest = 99")
    engine.dispose()
    with pytest.raises(AssertionError, match="the store has schema version 99, which needs a gateway that knows"):
        async with running(gateway):
            pass
