"""A configuration that was checked, as data: read and checked in one process, used in others.

Checking the text of a large configuration holds the interpreter for seconds, in a process whose streams share it. So it
is done elsewhere, once, and what passed travels as the values of its sections. `opened` makes settings of them again in
small steps: a step is one engine, model or price, or a part of a large one. Nothing is looked up anew: references are
replaced by then.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, get_args, get_origin

import msgspec
from pydantic import TypeAdapter

from gateway.fleet.steps import in_slices
from gateway.settings.load import Loaded
from gateway.settings.schema import Settings
from gateway.settings.sections.auth import ApiKey, Auth

_LISTS: Final = ("replicas", "targets")
"""Lists of an engine and of a model whose members the schema checks each for itself, as it does the keys of `auth`."""
_AT_ONCE: Final = 16
"""Members of one list to a step: to check the URLs of 64 replicas takes 2 ms."""
_NIL: Final = msgspec.msgpack.encode(None)


class Part(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One section, or one entry of a section that maps names. There may be 2,000: the collector need not look at
    them, since nothing in them can be part of a cycle."""

    section: str
    name: str
    """Empty for a whole section."""
    data: bytes
    """msgpack of the checked value."""

    def __repr__(self) -> str:  # what is in it may be secret
        return f"Part({self.section!r}, {self.name!r})"


class Sealed(msgspec.Struct, frozen=True):
    """A whole configuration."""

    parts: list[Part]
    notices: list[str]
    digest: str
    authorities: str

    def same(self, other: Sealed) -> bool:
        """Whether there is nothing to change: neither a setting nor a certificate authority."""
        return (self.digest, self.authorities) == (other.digest, other.authorities)

    def differs_only_in(self, other: Sealed, section: str) -> bool:
        """Whether all of the configuration but this section is as in `other`."""
        return self.authorities == other.authorities and [part for part in self.parts if part.section != section] == [
            part for part in other.parts if part.section != section
        ]

    def without(self, section: str) -> Sealed:
        """All but this section, for whoever makes the next of it."""
        return msgspec.structs.replace(self, parts=[part for part in self.parts if part.section != section])


def seal(loaded: Loaded) -> Sealed:
    """The configuration as data."""
    parts = []
    encode = msgspec.msgpack.Encoder().encode
    for section, value in loaded.tree.items():
        if section in _named():
            parts += [Part(section, name, encode(entry)) for name, entry in (value or {}).items()]
        else:
            parts.append(Part(section, "", encode(value)))
    return Sealed(parts, list(loaded.notices), loaded.digest, loaded.authorities)


async def opened(sealed: Sealed, before: tuple[Sealed, Settings] | None = None) -> Loaded:
    """The settings, made in steps between which the loop turns (`gateway.fleet.steps`).

    What is the same in `before` is the same object: it costs nothing to make, and nothing to let go of.
    """
    opening = Opening(sealed, before)
    await in_slices(opening.steps())
    return opening.loaded


def leaving(settings: Settings) -> list[object]:
    """What settings that are out of use are made of, to be let go of a few at a time (`gateway.fleet.steps`): to free
    10,000 keys at once takes 6 ms, and as much for 19,200 replicas."""
    return [*settings.auth.keys, *settings.models.values(), *settings.engines.values()]


class Opening:
    """One configuration on its way from data to settings: run `steps`, then take `loaded`."""

    def __init__(self, sealed: Sealed, before: tuple[Sealed, Settings] | None = None) -> None:
        self._sealed = sealed
        self._before = before
        self.loaded: Loaded

    def steps(self) -> Iterator[None]:
        """Each well under a millisecond. Raises ValueError for what the schema does not take."""
        decode = msgspec.msgpack.Decoder().decode
        adapters = _named()
        known: dict[str, dict[str, bytes]] = {}
        used: dict[str, Any] = {}
        if self._before is not None:
            old, in_use = self._before
            for part in old.parts:
                if part.name:
                    known.setdefault(part.section, {})[part.name] = part.data
            used = {section: getattr(in_use, section) for section in adapters}
            yield
        fields: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for part in self._sealed.parts:
            if part.section == "auth":
                fields["auth"], rest["auth"] = yield from _opened_auth(part.data)
            elif part.section not in adapters:
                rest[part.section] = decode(part.data)
            elif known.get(part.section, {}).get(part.name) == part.data:
                fields.setdefault(part.section, {})[part.name] = used[part.section][part.name]
            else:
                entry = yield from _entry(adapters[part.section], decode(part.data))
                fields.setdefault(part.section, {})[part.name] = entry
            yield
        # The small sections together, by the schema's own rules and defaults; what was made above is put in its place.
        whole = Settings.model_validate({**rest, "engines": {}, "models": {}})
        yield
        notices = tuple(self._sealed.notices)
        self.loaded = Loaded(
            whole.model_copy(update=fields), notices, self._sealed.digest, {}, self._sealed.authorities
        )


def _entry(adapter: TypeAdapter[Any], value: Any) -> Generator[None, None, Any]:
    """One engine, model or price of these values; a long list in it a few members at a time."""
    lists = {key: value[key] for key in _LISTS if isinstance(value, dict) and isinstance(value.get(key), list)}
    long = next((key for key, members in lists.items() if len(members) > _AT_ONCE), None)
    if long is None:
        return adapter.validate_python(value)
    members = lists[long]
    made: list[Any] = []
    for start in range(0, len(members), _AT_ONCE):
        entry = adapter.validate_python({**value, long: members[start : start + _AT_ONCE]})
        made += getattr(entry, long)
        yield
    return entry.model_copy(update={long: tuple(made)})


def _opened_auth(data: bytes) -> Generator[None, None, tuple[Auth, dict[str, Any]]]:
    """The section of the keys, and its value with the first key alone: that there are some counts.

    There may be 10,000, which are decoded and checked a few at a time: to decode them at once takes 2 ms.
    """
    decode = msgspec.msgpack.Decoder().decode
    raw = msgspec.msgpack.decode(data, type=dict[str, msgspec.Raw] | None) or {}
    keys = msgspec.msgpack.decode(raw.get("keys", _NIL), type=list[msgspec.Raw] | None)
    others = {name: decode(value) for name, value in raw.items() if name != "keys" or keys is None}
    yield
    if not keys:
        return _auth().validate_python(others), others
    made: list[ApiKey] = []
    for start in range(0, len(keys), _AT_ONCE):
        few = [decode(key) for key in keys[start : start + _AT_ONCE]]
        entry: Auth = _auth().validate_python({**others, "keys": few})
        made += entry.keys
        yield
    return entry.model_copy(update={"keys": tuple(made)}), {**others, "keys": [decode(keys[0])]}


@lru_cache(1)
def _auth() -> TypeAdapter[Auth]:
    """What checks the section of the keys."""
    return TypeAdapter(Auth)


@lru_cache(1)
def _named() -> Mapping[str, TypeAdapter[Any]]:
    """The sections that map names to entries, with what checks one entry."""
    return {
        name: TypeAdapter(get_args(field.annotation)[1])
        for name, field in Settings.model_fields.items()
        if get_origin(field.annotation) is dict
    }
