"""One PostgreSQL for all tests of the store that want one, and a database of its own in it for each; what is tested in
both databases takes `url` or `database`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.store.__main__ import open_database
from gateway.store.database.port import Database
from tests.gateway.store import postgresql
from tests.gateway.store.records import sqlite_url

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    """A running PostgreSQL; where none is installed the test fails with a sentence that says so."""
    try:
        with postgresql.running() as running:
            yield running
    except postgresql.Missing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def new_database(server: postgresql.Server) -> Iterator[Callable[[], str]]:
    """Makes an empty database and gives its URL. It ends with the test: a hundred of them, thousands of files, took a
    busy machine minutes to remove at the end of all, which was the end of the last test."""
    import psycopg

    made: list[str] = []

    def run(*statements: str) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def make() -> str:
        name = f"d{next(_numbers)}"
        run(f"CREATE DATABASE {name}")
        made.append(name)
        return server.url.removesuffix("/postgres") + f"/{name}"

    yield make
    run(*(f"DROP DATABASE {name} WITH (FORCE)" for name in made))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.store)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database in which nothing is yet, of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    url: str = request.getfixturevalue("new_database")()
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """That at `url`, open, with its tables."""
    opened = open_database(url)
    yield opened
    opened.close()
