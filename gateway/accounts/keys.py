"""The API keys: from the configuration to what is told of them, and from there to the keyring that requests meet.

Keys change by themselves, without a new snapshot, so what is told of them stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.identity import Keyring, Principal
from gateway.settings import Settings


class Key(msgspec.Struct, array_like=True, frozen=True):
    """One API key, known only by its hash, and whom it stands for."""

    sha256: str
    """64 hex digits."""
    key_id: str
    tenant: str
    models: list[str] | None
    """None: all."""
    admin: bool
    priority: int
    metrics: bool = False


def keys_of(settings: Settings) -> list[Key]:
    """The keys that the configuration holds."""
    return [
        Key(
            key.sha256,
            key.id,
            key.tenant,
            None if "*" in key.models else list(key.models),
            key.admin,
            key.priority,
            key.metrics,
        )
        for key in settings.auth.keys
    ]


def keyring_of(keys: Iterable[Key], *, any_host: bool = False) -> Keyring:
    """The keyring of these keys; of none, an open one. `any_host` is `auth.open`."""
    principals = (
        (
            key.sha256,
            Principal(
                key_id=key.key_id,
                tenant=key.tenant,
                models=None if key.models is None else frozenset(key.models),
                admin=key.admin,
                priority=key.priority,
                metrics=key.metrics,
            ),
        )
        for key in keys
    )
    return Keyring(principals, any_host=any_host)
