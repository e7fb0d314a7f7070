"""Opening a database: which one a URL means, and its schema brought to our version.

Migrations run under a lock, once, whoever of several gateways comes first. A database that is newer than we are is used
as it is, because newer versions only add; one that says our version is too old for it is refused with a sentence.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gateway.store.database.port import DatabaseRefused
from gateway.store.database.schema import VERSION, schema_state

OLDEST: Final = 1
"""The oldest version that a gateway may know and still use what our migrations leave."""
LOCK: Final = 0x7065_6E73_746F
"""Of PostgreSQL's advisory locks, the one for migrations."""
BUSY_MS: Final = 10_000
NEEDS_PSYCOPG: Final = "PostgreSQL as store needs: pip install 'penstock[postgres]'"
PATIENCE: Final = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
"""Seconds, and of the last milliseconds: a server that has vanished is noticed."""
WRITING: Final = ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-32000", "wal_autocheckpoint=4000")
"""What is committed outlives the process, though not always the machine; 32 MB hold the sums of the day."""
URLS: Final = "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


def store_url(url: str, data_dir: Path) -> str:
    """Where records go: the configured URL, or SQLite in the data directory."""
    return url or URL.create("sqlite", database=str(data_dir.absolute() / "records.db")).render_as_string()


def engine_of(url: str, *, reading: bool = False) -> Engine:
    """Raises DatabaseRefused for a URL that is none of ours. `reading`: of SQLite, take no lock and create nothing."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # what they say may show the password
        raise DatabaseRefused("store.url is no URL") from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed.database or "", reading)
        case "postgresql":
            try:
                return create_engine(
                    parsed.set(drivername="postgresql+psycopg"), pool_size=1, max_overflow=1, connect_args=PATIENCE
                )
            except ModuleNotFoundError:
                raise DatabaseRefused(NEEDS_PSYCOPG) from None
        case other:
            raise DatabaseRefused(f"store.url names {other}; {URLS}")


def missing_file(url: str) -> str:
    """The file of SQLite that is not there; empty where it is, or the URL is of something else."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return ""
    database = parsed.database or ""
    return database if parsed.get_backend_name() == "sqlite" and database and not Path(database).exists() else ""


def _sqlite(database: str, reading: bool) -> Engine:
    if not reading:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    where = URL.create("sqlite", database=database)  # whatever letters its path has
    if reading:
        where = where.set(database=f"file:{quote(database)}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(where, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so, not before the first INSERT
        for pragma in (f"busy_timeout={BUSY_MS}", *(() if reading else WRITING)):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def state_of(connection: Connection) -> tuple[int, int]:
    """The version of the schema, and the oldest that may use it; (0, 0) of an empty database."""
    if not inspect(connection).has_table("schema_state"):
        return 0, 0
    found = connection.execute(schema_state.select()).first()
    return (found.version, found.oldest) if found is not None else (0, 0)


def unreadable(connection: Connection) -> str:
    """Why this version cannot read the database, in a sentence; empty where it can."""
    known, oldest = state_of(connection)
    if (known, oldest) == (0, 0):
        return "the store is empty: no gateway has used it yet"
    if known < VERSION:
        return (
            f"the store has schema version {known}, of an older penstock, and this one reads version {VERSION}: start "
            f"a gateway of this version on it once, which brings it up to date, or read it with the older penstock"
        )
    if oldest > VERSION:
        return (
            f"the store has schema version {known}, which needs a penstock that knows version {oldest} or newer; "
            f"this one knows {VERSION}: upgrade it"
        )
    return ""


def upgrade(engine: Engine, *, version: int = VERSION, oldest: int = OLDEST) -> None:
    """Bring the schema to `version`. Raises DatabaseRefused, and what SQLAlchemy raises when it cannot be reached."""
    with _locked(engine):
        with engine.connect() as connection:
            known, needed = state_of(connection)
        if known > version and needed > version:
            raise DatabaseRefused(
                f"the store has schema version {known}, which needs a gateway that knows version {needed} or newer; "
                f"this one knows {version}: upgrade it, or give it a store of its own"
            )
        if known < version:
            with engine.begin() as connection:
                _migrate(connection, version)
                connection.execute(schema_state.delete())
                connection.execute(schema_state.insert().values(version=version, oldest=oldest))


def _migrate(connection: Connection, version: int) -> None:
    from alembic import command  # 0.2 s, which a database that is up to date need not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "gateway.store.database:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, f"{version:04}")


@contextlib.contextmanager
def _locked(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        database = engine.url.database or ""
        with Path(database + ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:  # its own: a lock belongs to a session
        connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (LOCK,))
        try:
            yield
        finally:
            connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (LOCK,))
