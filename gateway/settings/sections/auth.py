"""Who may call."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from engines.settings.fields import Name, Section, Text, Whole

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class ApiKey(Section):
    """One client. Only the hash of its key is stored."""

    id: Name = Field(description="a name for logs and metrics")
    sha256: Sha256 = Field(
        description='64 hex digits; penstock new-key makes a key and them, or: printf %s "$KEY" | sha256sum'
    )
    tenant: Name = Field(default="default", description="whom limits and costs are counted for")
    models: tuple[Text, ...] = Field(default=("*",), description='model names of this file, or ["*"] for all')
    admin: bool = Field(default=False, description="true allows the admin endpoints")
    metrics: bool = Field(
        default=False, description="true allows /metrics where it needs a key, without being an admin"
    )
    priority: Whole = Field(
        default=0, ge=-1000, le=1000, description="higher goes first, below 0 takes only idle capacity; 0 is usual"
    )


class Auth(Section):
    """Who may call."""

    keys: tuple[ApiKey, ...] = Field(default=(), description="a list such as [{id: app, sha256: ...}]")
    open: bool = Field(default=False, description="true lets anyone who can reach the port in, when there are no keys")
