"""What the commands on records share: which store, which time, and how what they found is shown."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway import clock
from gateway.cli.ending import end
from gateway.cli.serve import quickstart

if TYPE_CHECKING:
    from sqlalchemy import Connection

ConfigOption = Annotated[
    pathlib.Path | None,
    typer.Option("--config", "-c", help="the gateway's configuration, which says where its records are"),
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="the store's URL, in place of the configuration", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
SinceOption = Annotated[str, typer.Option(help="from this time on: 2026-01-31, 2026-01-31T12:00Z, or 30m, 12h, 7d ago")]
UntilOption = Annotated[str, typer.Option(help="before this time, told like --since; none: now", show_default=False)]


def time_ms(text: str, time_zone: str = "UTC") -> int:
    """Unix milliseconds. Ends the command for a text that is no time, or for a time zone that there is not."""
    from gateway.store.reports import times
    from gateway.store.reports.requests import NotWanted
    from gateway.store.reports.zones import zone_of

    try:
        return times.time_ms(text, clock.wall(), zone_of(time_zone))
    except NotWanted as error:
        end(str(error), 2)


@contextlib.contextmanager
def reading(config: pathlib.Path | None, store: str | None) -> Iterator[Connection]:
    """A connection that reads the store; what goes wrong ends the command with a sentence."""
    from sqlalchemy.exc import DBAPIError

    from gateway.store.database.opening import engine_of, missing_file, unreadable
    from gateway.store.database.port import DatabaseRefused
    from gateway.store.reports.requests import NotInSums, NotWanted

    url = store or _configured(config or quickstart())
    missing = missing_file(url)
    if missing:
        end(f"there are no records yet: no gateway has made {missing}; --config or --store says where else they are", 1)
    try:
        engine = engine_of(url, reading=True)
        try:
            with engine.connect() as connection:
                if why := unreadable(connection):
                    end(why, 1)
                yield connection
        finally:
            engine.dispose()
    except NotInSums as error:
        end(f"{error}: add --records, or leave --time-zone out", 2)
    except NotWanted as error:
        end(str(error), 2)
    except DatabaseRefused as error:
        end(str(error), 1)
    except DBAPIError as error:
        end(f"the store cannot be read: {error.orig}", 1)


def write_rows(rows: Generator[dict[str, Any]], out: pathlib.Path | None) -> int:
    """JSON Lines into a file, or to standard output; returns how many. Raises OSError. `rows` are closed in any case:
    they read by a cursor, which is to end before its connection."""
    from gateway.store.reports.export import write_lines

    with contextlib.closing(rows):
        if out is None:
            if sys.stdout is None:
                end("standard output is closed: name a file", 2)
            count = write_lines(rows, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return count
        with out.open("wb") as file:
            return write_lines(rows, file)


def _configured(config: pathlib.Path) -> str:
    from gateway.settings import ConfigError, format_problems, load_settings
    from gateway.store.database.opening import store_url

    try:
        settings = load_settings(config, os.environ).settings
    except ConfigError as error:
        end(format_problems(error), 2)
    if not settings.store.on:
        end(f"{config}: the store is off, so there are no records", 1)
    url = settings.store.url
    return store_url(url.get_secret_value() if url is not None else "", pathlib.Path(settings.data_dir))
