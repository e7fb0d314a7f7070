"""The API keys: from the configuration to what is told of them, and from there to the keyring that requests meet.

Keys change by themselves, without a new snapshot, so what is told of them stands alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Final

import msgspec

from gateway.identity import Keyring, Principal
from gateway.settings import Settings
from gateway.settings.sections.auth import ApiKey


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


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Key]).decode
AT_ONCE: Final = 32
"""Keys to a step: one takes 3 us, and there may be 10,000."""


def keys_of(settings: Settings) -> list[Key]:
    """The keys that the configuration holds."""
    return [_told(key) for key in settings.auth.keys]


def gathering_keys(settings: Settings) -> Generator[None, None, list[Key]]:
    """The same in steps."""
    keys: list[Key] = []
    for at, key in enumerate(settings.auth.keys, 1):
        keys.append(_told(key))
        if at % AT_ONCE == 0:
            yield
    return keys


def packed_keys(keys: list[Key]) -> bytes:
    """A part of all that is told at once: to write, to read or to free 10,000 of them in one turn takes a millisecond
    or two, and a part is nothing to look through for the collector."""
    return _encode(keys)


def unpacked_keys(parts: Iterable[bytes]) -> Iterator[Key]:
    """Those of all parts, in their order: each part is read when its first is asked for. Raises msgspec.DecodeError."""
    for part in parts:
        yield from _decode(part)


def packing_keys(settings: Settings) -> Generator[None, None, list[bytes]]:
    """What the configuration holds, in parts, in steps."""
    parts: list[bytes] = []
    keys = settings.auth.keys
    for start in range(0, len(keys), AT_ONCE):
        parts.append(packed_keys([_told(key) for key in keys[start : start + AT_ONCE]]))
        yield
    return parts


def keyring_of(keys: Iterable[Key], *, any_host: bool = False) -> Keyring:
    """The keyring of these keys; of none, an open one. `any_host` is `auth.open`."""
    return Keyring(((key.sha256, _principal(key)) for key in keys), any_host=any_host)


def making_keyring(keys: Iterable[Key], *, any_host: bool = False) -> Generator[None, None, Keyring]:
    """The same in steps."""
    made = Keyring(any_host=any_host)
    for at, key in enumerate(keys, 1):
        made.add(key.sha256, _principal(key))
        if at % AT_ONCE == 0:
            yield
    return made


def _told(key: ApiKey) -> Key:
    models = None if "*" in key.models else list(key.models)
    return Key(key.sha256, key.id, key.tenant, models, key.admin, key.priority, key.metrics)


def _principal(key: Key) -> Principal:
    return Principal(
        key_id=key.key_id,
        tenant=key.tenant,
        models=None if key.models is None else frozenset(key.models),
        admin=key.admin,
        priority=key.priority,
        metrics=key.metrics,
    )
