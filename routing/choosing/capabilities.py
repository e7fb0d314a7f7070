"""Which endpoints can take what a request asks for: known beforehand, so that nobody is tried in vain.

A target that is asked in its client's own format takes everything, but for what its configuration says that it lacks.
One that is asked in another takes what that format has a word for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from routing.choosing.filters import Filter
from routing.facts import RequestFacts
from routing.model import Endpoint


@dataclass(frozen=True, slots=True)
class Abilities:
    """Of one upstream model on one engine."""

    translated: frozenset[str] = frozenset()
    """The operations that it is asked for in another format."""
    takes: frozenset[str] = frozenset()
    """What that format takes, for this model."""
    lacks: frozenset[str] = frozenset()
    """What the model cannot, in whatever format it is asked."""


ABLE: Final = Abilities()


class Takes(Filter):
    """Passes over who cannot take what is asked for."""

    __slots__ = ("_abilities", "_drops", "_lacks", "_translated")

    def __init__(self, abilities: Mapping[tuple[str, str], Abilities], *, drops: bool) -> None:
        """`abilities` by engine and upstream model. `drops`: a parameter may be left out, content may not."""
        self._abilities = abilities
        self._drops = drops
        self._translated = frozenset().union(*[each.translated for each in abilities.values()])
        self._lacks = any(each.lacks for each in abilities.values())

    def but(self, abilities: Mapping[tuple[str, str], Abilities]) -> Takes:
        """The same with others for some."""
        return Takes({**self._abilities, **abilities}, drops=self._drops)

    def concerns(self, facts: RequestFacts) -> bool:
        return self._lacks or facts.operation in self._translated

    def passes_over(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> str:
        missing = self._missing(endpoint, facts)
        if missing:
            names = facts.needs.names
            told = {f"{names[what]} ({what})" if names.get(what, what) != what else what for what in missing}
            return f"does not take {', '.join(sorted(told))}"
        abilities = self._abilities.get((endpoint.engine, endpoint.model), ABLE)
        return facts.needs.unreadable if facts.operation in abilities.translated else ""

    def lacking(self, endpoint: Endpoint, facts: RequestFacts) -> list[str]:
        """What is asked for and cannot be had there, as the client calls it."""
        names = facts.needs.names
        return sorted({names.get(what, what) for what in self._missing(endpoint, facts)})

    def _missing(self, endpoint: Endpoint, facts: RequestFacts) -> frozenset[str]:
        abilities = self._abilities.get((endpoint.engine, endpoint.model), ABLE)
        needs = facts.needs
        asked = needs.content if self._drops else needs.content | needs.parameters
        missing = asked & abilities.lacks
        if facts.operation in abilities.translated:
            missing |= asked - abilities.takes
        return missing
