"""A database is brought to our version once, by whoever comes first, and not used by those who are too old for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.__main__ import open_database
from gateway.store.database import migrations
from gateway.store.database.opening import engine_of, state_of, store_url, upgrade
from gateway.store.database.port import DatabaseAway, DatabaseRefused, why_of
from gateway.store.database.schema import VERSION, metadata
from gateway.store.reports.sums import WantedSums, report_of_records
from tests.gateway.store.records import Made, sqlite_url, stored, sums

pytestmark = pytest.mark.slow

V1_ROW = (
    "INSERT INTO requests (id, status, stream, attempts, operation, model, engine, replica, arm, upstream_model, "
    "error, finish_reason, usage_source, key_id, tenant, duration_us) "
    "VALUES ({id}, 200, 0, 1, 0, {model}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 250000)"
)


def test_the_migrations_make_the_tables_that_are_read(url: str) -> None:
    engine = engine_of(url)
    upgrade(engine)
    with engine.connect() as connection:
        found = inspect(connection)
        assert {
            table: {column["name"]: bool(column["nullable"]) for column in found.get_columns(table)}
            for table in metadata.tables
        } == {
            table.name: {column.name: bool(column.nullable) for column in table.columns}
            for table in metadata.tables.values()
        }
        assert state_of(connection)[0] == VERSION
    engine.dispose()


def test_each_migration_has_a_number_of_its_own_and_follows_the_one_before() -> None:
    directory = Path(migrations.__path__[0]) / "versions"
    names = sorted(path.name for path in directory.glob("v*.py"))
    assert [int(name[1:5]) for name in names] == list(range(1, VERSION + 1))


def old_row(url: str, digits: str) -> str:
    literal = f"x'{digits}'" if url.startswith("sqlite") else f"'\\x{digits}'"
    return V1_ROW.format(id=literal, model=1)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_what_an_earlier_version_wrote_is_there_after_the_upgrade(url: str, version: int) -> None:
    engine = engine_of(url)
    upgrade(engine, version=version, oldest=1)
    made = Made()
    before, meanwhile = made.one(), made.one()
    with engine.begin() as connection:
        if url.startswith("postgres"):
            connection.exec_driver_sql("CREATE TABLE requests_default PARTITION OF requests DEFAULT")
        connection.exec_driver_sql("INSERT INTO strings (id, text) VALUES (1, 'old')")
        connection.exec_driver_sql(old_row(url, before.record_id))
    upgrade(engine)
    with engine.begin() as connection:  # a gateway of the earlier version goes on during a rolling upgrade
        connection.exec_driver_sql(old_row(url, meanwhile.record_id))
    engine.dispose()
    assert {(found["record_id"], found["model"], found["price_source"], found["tries"]) for found in stored(url)} == {
        (record.record_id, "old", "", None) for record in (before, meanwhile)
    }
    # Nobody knows what these cost, though only newer versions say so of each.
    assert [found["unpriced"] for found in stored(url)] == [True, True]
    engine = engine_of(url, reading=True)
    with engine.connect() as connection:
        (row,) = report_of_records(connection, WantedSums())
    engine.dispose()
    assert (row["requests"], row["unpriced"], row["cost_usd"]) == (2, 2, None)


def newer(url: str, oldest: int) -> None:
    engine = engine_of(url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE schema_state SET version = 99, oldest = {oldest}")
        connection.exec_driver_sql("ALTER TABLE requests ADD COLUMN of_the_future INTEGER")
    engine.dispose()


def test_a_newer_database_is_used_as_long_as_it_says_we_may(url: str) -> None:
    newer(url, oldest=VERSION)
    database = open_database(url)
    assert database.insert([Made().some(3)]) == 3
    database.close()
    assert [row["requests"] for row in sums(url, "model")] == [3]


def test_a_database_that_we_are_too_old_for_is_refused_in_a_sentence(url: str) -> None:
    newer(url, oldest=VERSION + 1)
    with pytest.raises(DatabaseRefused) as refused:
        open_database(url)
    assert str(refused.value) == (
        f"the store has schema version 99, which needs a gateway that knows version {VERSION + 1} or newer; "
        f"this one knows {VERSION}: upgrade it, or give it a store of its own"
    )


def test_of_several_that_come_at_once_one_upgrades(url: str) -> None:
    come = "import sys; from gateway.store.__main__ import open_database; open_database(sys.argv[1]).close()"
    processes = [subprocess.Popen([sys.executable, "-c", come, url], stderr=subprocess.PIPE) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == 3 * [(b"", 0)]


def test_a_server_that_is_not_there_is_away_and_nothing_worse() -> None:
    with pytest.raises(DatabaseAway):
        open_database("postgresql://penstock@127.0.0.1:1/nowhere")


def test_a_file_that_is_no_database_is_away_and_not_the_fault_of_a_record(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(DatabaseAway, match="not a database"):
        open_database(sqlite_url(tmp_path))


def test_a_file_that_is_damaged_while_it_is_used_is_away(tmp_path: Path) -> None:
    from gateway.store.database.sqlite import Sqlite

    database = Sqlite(sqlite_url(tmp_path))
    driver = database._connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    driver.execute("PRAGMA shrink_memory")
    path = tmp_path / "records.db"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(DatabaseAway):
        database.insert([Made().some(1)])
    database.close()


@pytest.mark.store
@pytest.mark.parametrize("statement", ["SET default_transaction_read_only = on", "DROP TABLE runs", "SET ROLE nobody"])
def test_a_server_that_takes_nothing_is_away_and_not_the_fault_of_a_record(
    new_database: Callable[[], str], statement: str
) -> None:
    from gateway.store.database.postgres import Postgres

    database = Postgres(new_database())
    if "nobody" in statement:
        with database._connection.begin():
            database._execute("CREATE ROLE nobody")
    with database._connection.begin():
        database._execute(statement)
    with pytest.raises(DatabaseAway):
        database.insert([Made().some(1)])
    database.close()


@pytest.mark.store
def test_a_server_that_is_read_only_is_away_at_the_start(new_database: Callable[[], str]) -> None:
    url = new_database()
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    engine.dispose()
    with pytest.raises(DatabaseAway, match="read-only"):
        open_database(url)


@pytest.mark.store
def test_a_day_that_somebody_reads_is_dropped_later_and_holds_nothing_up(new_database: Callable[[], str]) -> None:
    url = new_database()
    database, made = open_database(url), Made()
    database.insert([made.some(2)])
    engine = engine_of(url)
    with engine.begin() as reading:
        reading.exec_driver_sql("SELECT * FROM requests")
        assert database.expire(1_780_012_800_000) is False
        assert database.insert([made.some(1)]) == 1
    engine.dispose()
    assert len(stored(url)) == 3
    database.close()


@pytest.mark.store
def test_the_partition_of_a_day_is_dropped_whole(new_database: Callable[[], str]) -> None:
    url = new_database()
    database = open_database(url)
    made = Made()
    database.insert([made.some(1), made.some(1, at_s=1_780_000_000.0 + 86400)])
    engine = engine_of(url)

    def partitions() -> set[str]:
        with engine.connect() as connection:
            return {name for name in inspect(connection).get_table_names() if name.startswith("requests_")}

    assert partitions() == {"requests_20260528", "requests_20260529"}
    database.expire(1_780_012_800_000)  # the midnight between them
    assert partitions() == {"requests_20260529"}
    engine.dispose()
    database.close()


def test_a_question_that_the_database_refuses_is_told_without_its_statement(tmp_path: Path) -> None:
    engine = engine_of(sqlite_url(tmp_path))
    with engine.connect() as connection, pytest.raises(SQLAlchemyError) as raised:
        connection.exec_driver_sql("SELECT secret FROM nowhere")
    engine.dispose()
    assert why_of(raised.value) == "no such table: nowhere"
    assert why_of(DatabaseRefused("a sentence")) == "a sentence"


@pytest.mark.parametrize("name", ["a#b", "a%41", "a?b=c", "with space", "ä&b=c"])
def test_a_data_directory_of_any_name_is_read_where_it_is_written(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    url = store_url("", directory)
    database = open_database(url)
    database.insert([Made().some(2)])
    database.close()
    assert [row["requests"] for row in sums(url)] == [2]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("url", ["mysql://h/d", "nonsense", "postgresql://u:p@w:x@h:port/d"])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(DatabaseRefused):
        engine_of(url)


def test_without_a_url_records_go_below_the_data_directory(tmp_path: Path) -> None:
    assert store_url("", tmp_path) == f"sqlite:///{tmp_path}/records.db"
    assert store_url("postgresql://x/y", tmp_path) == "postgresql://x/y"
