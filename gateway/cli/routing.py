"""`penstock routing explain`: why requests of a model go where they go."""

from __future__ import annotations

import json
import pathlib
import time
import urllib.parse
from typing import Annotated, Any

import typer

from gateway.cli.admin_api import Config, Key, Url, reached
from gateway.cli.ending import end

PATH = "/admin/v1/routing/explain"


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(name="routing", help="Ask a running gateway about its routing.", no_args_is_help=True)
    group.callback()(_group)
    group.command("explain")(explain)
    app.add_typer(group)


def _group() -> None:
    """Ask a running gateway about its routing."""


def explain(
    model: Annotated[str, typer.Argument(help="the public name of the model", show_default=False)],
    prompt_tokens: Annotated[int, typer.Option(min=0, help="the size of the request that is asked about")] = 1000,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, help="its bound on output tokens; none: what is usual", show_default=False)
    ] = None,
    session: Annotated[str, typer.Option(help="its x-session-id", show_default=False)] = "",
    arm: Annotated[str, typer.Option(help="of the model's experiment; none: the control", show_default=False)] = "",
    body: Annotated[
        pathlib.Path | None,
        typer.Option(help="a file with its body, in place of all of those: then caches count", show_default=False),
    ] = None,
    watch: Annotated[
        float, typer.Option(min=0, max=50, help="ask, wait so many seconds, and show what was decided meanwhile")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="print the answer as it comes")] = False,
    url: Url = "",
    key: Key = "",
    config: Config = None,
) -> None:
    """Show where a request would go now and what each replica would cost it, and where the last ones went.

    Decisions are recorded for a minute after each question, so the second one shows those since the first.
    """
    from gateway.cli.routing_table import table

    fields: dict[str, Any] = {"model": model, "prompt_tokens": prompt_tokens, "max_tokens": max_tokens}
    fields |= {"session": session, "arm": arm}
    query = urllib.parse.urlencode({name: value for name, value in fields.items() if value not in (None, "")})
    try:
        content = body.read_bytes() if body is not None else None
    except OSError as error:
        end(f"{body}: {error.strerror}", 1)
    method = "GET" if content is None else "POST"
    gateway = reached(url, key, config)

    def answer() -> Any:
        return gateway.ask(method, f"{PATH}?{query}", content)

    told = answer()
    if watch:
        time.sleep(watch)
        told = answer()
    print(json.dumps(told, indent=2) if as_json else table(told), end="\n" if as_json else "")
