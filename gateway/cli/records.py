"""`penstock records query` and `export`: single requests."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
from typing import Annotated, Literal

import typer

from gateway.cli.ending import end
from gateway.cli.store import (
    ConfigOption,
    JsonOption,
    SinceOption,
    StoreOption,
    UntilOption,
    reading,
    time_ms,
    write_rows,
)

COLUMNS = {
    "time": "time",
    "record_id": "record id",
    "status": "status",
    "model": "model",
    "arm": "arm",
    "engine": "engine",
    "key_id": "key",
    "tenant": "tenant",
    "duration_ms": "ms",
    "input_tokens": "in",
    "output_tokens": "out",
    "cost_usd": "USD",
    "error": "error",
}
CONTENT = {"prompt": "prompt", "answer": "answer"}
MOST_SHOWN = 1_000_000
SHOWN = 60
"""Characters of a prompt or an answer in a table."""

ContentOption = Annotated[
    bool, typer.Option("--content", help="with the prompt and the answer, of models that keep them")
]
ModelOption = Annotated[str | None, typer.Option(help="those of this public name of a model", show_default=False)]
EngineOption = Annotated[str | None, typer.Option(help="those that this engine answered", show_default=False)]
KeyOption = Annotated[str | None, typer.Option(help="those of the client's key with this name", show_default=False)]
TenantOption = Annotated[str | None, typer.Option(help="those of this tenant", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="The records of requests.", no_args_is_help=True)
    group.command("query")(query)
    group.command("export")(export)
    app.add_typer(group, name="records")


def query(
    record_id: Annotated[
        str | None, typer.Option(help="the one with this id, whenever it was", show_default=False)
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(help="those whose answer had this x-request-id", show_default=False)
    ] = None,
    model: ModelOption = None,
    engine: EngineOption = None,
    replica: Annotated[str | None, typer.Option(help="those that this replica answered", show_default=False)] = None,
    arm: Annotated[str | None, typer.Option(help="those of this arm of an experiment", show_default=False)] = None,
    key: KeyOption = None,
    tenant: TenantOption = None,
    error: Annotated[str | None, typer.Option(help="those that ended with this error", show_default=False)] = None,
    status: Annotated[int | None, typer.Option(help="those with this HTTP status", show_default=False)] = None,
    since: SinceOption = "24h",
    until: UntilOption = "",
    limit: Annotated[int, typer.Option(min=1, max=MOST_SHOWN, help="how many at most")] = 20,
    content: ContentOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Show requests, newest first: those that are all of what is named."""
    from gateway.cli.table import table
    from gateway.store.reports.requests import FAR_MS, Wanted, found

    wanted = Wanted(
        # An id says when it was.
        since_ms=0 if record_id is not None else time_ms(since),
        until_ms=time_ms(until) if until else FAR_MS,
        record_id=record_id,
        request_id=request_id,
        model=model,
        engine=engine,
        replica=replica,
        arm=arm,
        key_id=key,
        tenant=tenant,
        error=error,
        status=status,
        limit=limit,
    )
    with reading(config, store) as connection:
        records = list(found(connection, wanted, content=content))
    if as_json:
        print(json.dumps(records, indent=1))
        return
    for record in records if content else ():
        record |= {name: (record[name] or "")[:SHOWN] for name in CONTENT}
    print(table(records, COLUMNS | CONTENT if content else COLUMNS))


def export(
    out: Annotated[
        pathlib.Path | None, typer.Argument(help="the file to write; none: standard output", show_default=False)
    ] = None,
    form: Annotated[
        Literal["jsonl", "parquet"] | None,
        typer.Option("--format", help="jsonl or parquet; left out, as the file's name ends", show_default=False),
    ] = None,
    model: ModelOption = None,
    engine: EngineOption = None,
    key: KeyOption = None,
    tenant: TenantOption = None,
    since: SinceOption = "24h",
    until: UntilOption = "",
    content: ContentOption = False,
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Write records as JSON Lines or Parquet, newest first, as many as there are."""
    from gateway.store.reports.export import CannotExport, write_parquet
    from gateway.store.reports.requests import FAR_MS, Wanted, found

    until_ms = time_ms(until) if until else FAR_MS
    wanted = Wanted(
        since_ms=time_ms(since),
        until_ms=until_ms,
        model=model,
        engine=engine,
        key_id=key,
        tenant=tenant,
        limit=None,
    )
    parquet = form == "parquet" or (form is None and out is not None and out.suffix == ".parquet")
    try:
        with reading(config, store) as connection:
            records = found(connection, wanted, content=content)
            if not parquet:
                count = write_rows(records, out)
            elif out is None:
                end("Parquet goes into a file: name one", 2)
            else:
                with contextlib.closing(records):
                    count = write_parquet(records, out, content=content)
    except CannotExport as error:
        end(str(error), 1)
    except BrokenPipeError:
        raise  # who reads has enough, which is no failure
    except OSError as error:
        end(f"{out or 'standard output'}: {error.strerror or error}", 1)
    print(f"{count} records", file=sys.stderr)
