"""Models that stand for many: `openai/*` serves every name that begins so and that no other model is called.

The longest beginning wins, and a whole name before any. What the star stands for is put in the place of the star in the
target's model. All names of one wildcard share its route: one budget, one line, the same breakers. What is made for one
name (its own name in messages and records, the upstream's name, its price) is kept for the names asked for last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.fleet.snapshot import Serving, Upstream, Upstreams
from gateway.fleet.specs import abilities_of
from gateway.wildcard_names import STAR, is_wildcard, wildcard_of
from routing.choosing.capabilities import Abilities, Takes

if TYPE_CHECKING:
    from gateway.accounts.prices import Rates
    from gateway.fleet.prepared import Prepared
    from gateway.settings.sections.targets import Target
    from routing.model import Endpoint

MOST_NAMES: Final = 1024
"""Kept at once. A client may ask for a new one with each request."""
LONGEST: Final = 256
"""Of a name, in characters: a longer one is nobody's."""

_FITS: Final = re.compile(r"(?!.*[?#%\\\s])(?!(.*/)?\.{1,2}(/|$))").match
"""What a star may stand for: a client writes it, and it may become part of a path that the engine's key opens."""

Price = Callable[[str, str], "Rates | None"]
"""What a model of an engine's costs, by the names of both."""


class Wildcards:
    """Those of one version of the configuration."""

    __slots__ = ("_made", "_price", "_servings", "_targets")

    def __init__(
        self, servings: Mapping[str, Serving], targets: Mapping[tuple[str, str, str], Target], price: Price
    ) -> None:
        """`servings` by the wildcard, `targets` by the wildcard, the engine and the starred name."""
        self._servings = dict(servings)
        self._targets = dict(targets)
        self._price = price
        self._made: dict[str, Serving] = {}

    def covering(self, name: str) -> str:
        """The wildcard that serves a name; empty for none."""
        return wildcard_of(name, self._servings)

    def get(self, name: str) -> Serving | None:
        """What serves a name that no model is called."""
        made = self._made.get(name)
        if made is not None:
            return made
        model = self.covering(name) if STAR not in name else ""
        if not model or len(name) > LONGEST:
            return None
        matched = name[len(model) - 1 :]
        if not matched.isprintable() or _FITS(matched) is None:
            return None
        if len(self._made) >= MOST_NAMES:
            del self._made[next(iter(self._made))]
        made = self._made[name] = self._named(model, name, matched)
        return made

    def _named(self, wildcard: str, name: str, matched: str) -> Serving:
        serving = self._servings[wildcard]
        abilities = self._abilities(wildcard, serving, matched)

        def upstream(endpoint: Endpoint) -> Upstream:
            made = self._upstream(serving.upstreams[endpoint], matched)
            its = abilities.get((endpoint.engine, endpoint.model))
            if its is not None:
                made.takes = its.takes
            return made

        filters = [one.but(abilities) if abilities and isinstance(one, Takes) else one for one in serving.route.filters]
        route = replace(serving.route, name=name, filters=tuple(filters))
        return Serving(route, Upstreams(upstream), serving.request_transforms, serving.event_transforms)

    def _abilities(self, wildcard: str, serving: Serving, matched: str) -> dict[tuple[str, str], Abilities]:
        """Of engines whose formats take more for one model than for another, by engine and starred name."""
        found: dict[tuple[str, str], Abilities] = {}
        for endpoint in serving.route.endpoints():
            key = endpoint.engine, endpoint.model
            if key not in found and (of := serving.upstreams[endpoint]).unary:
                target, model = self._targets[wildcard, *key], endpoint.model.replace(STAR, matched)
                found[key] = abilities_of(of.translated or {}, of.unary, target, model)
        return found

    def _upstream(self, of: Upstream, matched: str) -> Upstream:
        model = of.model.replace(STAR, matched)
        rates = self._price(of.endpoint.engine, model)
        made = Upstream(
            of.endpoint,
            of.engine,
            of.arm,
            of.deadlines,
            of.series,
            rates,
            of.meter,
            of.asks_load,
            of.bundle,
            of.transcripts,
            model,
        )
        made.translated, made.unary, made.takes, made.instead_of = of.translated, of.unary, of.takes, of.instead_of
        made.histories = of.histories
        return made


def wildcards_of(prepared: Prepared, serving_of: Callable[[str], Serving]) -> Wildcards | None:
    """Those of a configuration; None where it has none. `serving_of` gives what serves a model of it."""
    names = [name for name in prepared.settings.models if is_wildcard(name)]
    engines, prices = prepared.settings.engines, prepared.prices

    def price(engine: str, model: str) -> Rates | None:
        return prices.asked_for(engines[engine].price_provider, model, engine)

    if not names:
        return None
    targets = {
        (name, each.engine, each.model): each for name in names for each in prepared.settings.models[name].targets
    }
    return Wildcards({name: serving_of(name) for name in names}, targets, price)
