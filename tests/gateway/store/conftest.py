"""One PostgreSQL for all tests of the store that want one, and a database of its own in it for each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.gateway.store import postgresql

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
def new_database(server: postgresql.Server) -> Callable[[], str]:
    """Makes an empty database and gives its URL."""

    def make() -> str:
        import psycopg

        name = f"d{next(_numbers)}"
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return server.url.removesuffix("/postgres") + f"/{name}"

    return make
