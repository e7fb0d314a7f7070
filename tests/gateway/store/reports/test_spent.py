"""What keys had spent before a gateway started, as the writer tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import structlog

from gateway.process.supervisor import Supervisor
from gateway.store.database.sqlite import Sqlite
from gateway.store.messages import KeySpent, Start
from gateway.store.reports.spent import spent
from gateway.store.sending.spill import Spill
from gateway.store.writing.process import StoreProcess
from tests.gateway.store.records import Made, sqlite_url

NOW_S = datetime(2026, 5, 20, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400


def filled(directory: Path) -> str:
    """A database with five priced requests, of three days in two months, and one that nobody prices."""
    url, made = sqlite_url(directory), Made()
    database = Sqlite(url)
    database.insert(
        [
            made.some(2, at_s=NOW_S, cost_usd=0.25),
            made.some(1, at_s=NOW_S, cost_usd=1.0, key_id="lab"),
            made.some(1, at_s=NOW_S, cost_usd=None, key_id="own"),
            made.some(1, at_s=NOW_S - 5 * DAY_S, cost_usd=0.125),
            made.some(1, at_s=NOW_S - 30 * DAY_S, cost_usd=64.0),
        ]
    )
    database.close()
    return url


EXPECTED = {
    KeySpent("app", "shop", 0.5, 0.625),
    KeySpent("lab", "shop", 1.0, 1.0),
    KeySpent("own", "shop", 0.0, 0.0),
}


def test_the_day_and_the_month_are_summed_by_key(tmp_path: Path) -> None:
    assert set(spent(filled(tmp_path), NOW_S)) == EXPECTED


@pytest.mark.anyio
async def test_the_writer_is_asked_for_them_at_the_start(tmp_path: Path) -> None:
    filled(tmp_path)
    supervisor = Supervisor()
    store = StoreProcess(Start("", str(tmp_path), 0, "info", "json"), supervisor)
    try:
        await store.start()
        assert set(await store.spent(NOW_S)) == EXPECTED
    finally:
        await store.stop()
        await supervisor.close()


@pytest.mark.anyio
async def test_records_that_wait_in_files_are_among_them(tmp_path: Path) -> None:
    filled(tmp_path)
    made = Made("ba9876543210")
    left = Spill(tmp_path, made.run)
    for _ in range(3):
        left.append([msgspec.msgpack.encode(made.batch(made.some(2, at_s=NOW_S, cost_usd=0.25)))])
    left.close()
    supervisor = Supervisor()
    store = StoreProcess(Start("", str(tmp_path), 36_500, "info", "json"), supervisor)
    try:
        await store.start()
        assert KeySpent("app", "shop", 2.0, 2.125) in await store.spent(NOW_S)
    finally:
        await store.stop()
        await supervisor.close()


@pytest.mark.anyio
async def test_a_store_that_cannot_tell_costs_a_line_in_the_log(tmp_path: Path) -> None:
    supervisor = Supervisor()
    store = StoreProcess(Start("", str(tmp_path), 0, "info", "json"), supervisor)
    try:
        with structlog.testing.capture_logs() as lines:
            assert await store.spent(NOW_S) == []
    finally:
        await store.stop()
        await supervisor.close()
    assert [line["event"] for line in lines] == ["spending_unknown"]
