"""`penstock new-key`: a key for a client, and the line of the configuration that lets it in."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Annotated

import typer

from gateway.cli.ending import end

RANDOM_BYTES = 32


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("new-key")(new_key)


def new_key(
    name: Annotated[str, typer.Argument(help="what logs and metrics call it", show_default=False)],
    tenant: Annotated[str | None, typer.Option(help="whom limits and costs are counted for")] = None,
    model: Annotated[list[str] | None, typer.Option(help="a model that it may use; give it again for more")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="let it use the admin API")] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="let it read /metrics, for Prometheus")] = False,
) -> None:
    """Make a key for a client. It is printed this once; the configuration knows it by its SHA-256 only."""
    from engines.settings.fields import NAME_RULE

    for what, value in (("NAME", name), ("--tenant", tenant)):
        if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", value):
            end(f"penstock new-key: {what} should be {NAME_RULE}", 2)
    key = f"sk-{secrets.token_urlsafe(RANDOM_BYTES)}"
    line = key_line(name, key, tenant, model, admin=admin, metrics=metrics)
    print(f"key, shown this once:\n\n  {key}\n\nline for auth.keys:\n\n  {line}")
    print("\n(between brackets, keys: [...], it goes in without its dash)")
    print(f"\nthen, for the examples:\n\nexport PENSTOCK_KEY={key}")


def key_line(name: str, key: str, tenant: str | None, models: list[str] | None, *, admin: bool, metrics: bool) -> str:
    """The member of `auth.keys`, in YAML's short form."""
    import json

    fields = {"id": json.dumps(name), "sha256": hashlib.sha256(key.encode()).hexdigest()}
    if tenant is not None:
        fields["tenant"] = json.dumps(tenant)
    if models:
        fields["models"] = json.dumps(models)
    if admin:
        fields["admin"] = "true"
    if metrics:
        fields["metrics"] = "true"
    fields["sha256"] = f'"{fields["sha256"]}"'  # digits alone would be a number
    return f"- {{{', '.join(f'{field}: {value}' for field, value in fields.items())}}}"
