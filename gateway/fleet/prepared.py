"""The part of a new configuration that is slow and needs no event loop: it is made in another thread."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engines.pools import Contexts
from gateway.accounts.keys import keyring_of, keys_of
from gateway.accounts.prices import PriceBook
from gateway.experiments.plan import Plan
from gateway.fleet.arms import engines_of_clients
from gateway.fleet.bundles import bundles_of, plans_of, shadow_bundles_of
from gateway.fleet.specs import priced, trusts_of
from gateway.identity import Keyring
from gateway.settings import Loaded, Settings


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration, and what was made of it."""

    settings: Settings
    digest: str
    keyring: Keyring
    prices: PriceBook
    bundles: Mapping[str, str]
    """The version of each public model's configuration (`gateway.fleet.bundles`)."""
    plans: Mapping[str, Plan]
    """Their experiments."""
    shadow_bundles: Mapping[str, str]
    """The version of what copies of a model's requests are sent to, of those that have a shadow."""
    engines_of_clients: frozenset[str]
    """Engines that are asked for more than copies."""


def prepare(loaded: Loaded, contexts: Contexts, before: Prepared | None) -> Prepared:
    """Look the prices of a configuration up and make its TLS contexts.

    `before` is what is in use: prices that are the same stay the same objects. Raises ValueError for a file of
    authorities that cannot be used.
    """
    settings = loaded.settings
    if before is not None and before.settings.prices == settings.prices:
        prices = before.prices
    else:
        prices = PriceBook(settings.prices, lambda: datetime.now(UTC))
    prices.prepare(priced(settings))
    contexts.prepare(trusts_of(settings))
    bundles, plans = bundles_of(settings), plans_of(settings)
    gc.collect(1)  # what reading has left, or the first steps on the loop would have to look through it (5 ms)
    keyring = keyring_of(keys_of(settings), any_host=settings.auth.open)
    shadow_bundles, clients = shadow_bundles_of(settings), engines_of_clients(settings.models)
    return Prepared(settings, loaded.digest, keyring, prices, bundles, plans, shadow_bundles, clients)
