"""Who answers: a change of it is the first cause to name when anything drifts, and is exact, not statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

FIELDS: Final = ("upstream_model", "response_model", "system_fingerprint", "bundle")
"""What a record says: the model as it is asked for, and as it names itself; the build that answers, as hosted providers
and vLLM tell it; the version of our own configuration. Each by engine."""
VERSION: Final = "engine_version"
"""What the replica that answered said that it is."""
OWN: Final = "bundle"
"""A change of it is our operator's: a cause, and no alarm."""
LEAST_REQUESTS: Final = 3
LEAST_SHARE: Final = 0.01
"""Of an hour's requests: fewer may be a single odd answer."""


class Change(NamedTuple):
    """Something that answers now and did not before."""

    hour: int
    engine: str
    field: str
    before: str
    """What most answers were from; empty where nothing was told."""
    after: str

    @property
    def sentence(self) -> str:
        what = self.field.replace("_", " ")
        return f"{what} of {self.engine} changed from {self.before or '(none)'} to {self.after or '(none)'}"


Seen = Mapping[tuple[str, str, str], int]
"""By engine, field and value: how many answers of an hour."""


class Identities:
    """What has answered so far, of one model, arm and route."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, int]] = {}

    def note(self, seen: Seen) -> None:
        """Take what was there in one hour as known."""
        for (engine, field, value), count in seen.items():
            values = self._known.setdefault((engine, field), {})
            values[value] = values.get(value, 0) + count

    def changes(self, hour: int, seen: Seen, requests: int) -> list[Change]:
        """What is new in an hour with so many requests, each told once. A new engine is none."""
        found: list[Change] = []
        told: dict[tuple[str, str, str], int] = {}
        for key, count in sorted(seen.items()):
            engine, field, value = key
            known = self._known.get((engine, field))
            if known is None or value in known:
                told[key] = count
            elif count >= max(LEAST_REQUESTS, LEAST_SHARE * requests):
                found.append(Change(hour, engine, field, _most(known), value))
                told[key] = count
        self.note(told)
        return found


def _most(known: Mapping[str, int]) -> str:
    return max(known, key=lambda value: known[value])
