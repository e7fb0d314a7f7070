"""What `GET /v1/models` says of each public model beside its name: when it was made, whose it is, how long it may be.

Engines with a free list say so of theirs. They are asked in the background, at start and after each reload, and again
now and then, because a server may be started anew with another context length. Workers are told what is new.
Where no engine says when a model was made, it is since when this gateway, from its start, has had it in its
configuration.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from engines.errors import EngineError
from engines.model_list import ListedModel
from engines.port import Engine
from gateway import clock
from gateway.control.pacing import paced
from gateway.fleet.arms import arms_of
from gateway.fleet.steps import at_once, in_slices
from gateway.settings import Model, Settings, Target
from gateway.workers.exchange.messages import ModelCard, ModelsKnown
from routing.replicas.replica import ReplicaKey

AGAIN_S: Final = 60.0
"""One free request to each engine so often."""
_AT_ONCE: Final = 16
"""Models to a step."""


class ModelCards:
    """What is known of public models."""

    def __init__(
        self,
        listing: Callable[[], Collection[tuple[str, Engine]]],
        settings: Callable[[], Settings],
        tell: Callable[[ModelsKnown], None],
        now: Callable[[], float] = clock.monotonic,
        wall: Callable[[], float] = clock.wall,
    ) -> None:
        """`listing` are the engines that may have a list of their models, by name. `wall` is Unix time in seconds."""
        self._listing = listing
        self._settings = settings
        self._tell = tell
        self._now = now
        self._wall = wall
        self._since: dict[str, int] = {}
        """By public model, since when it has been in the configuration; it is not kept over a restart."""
        self._lists: dict[str, Mapping[str, ListedModel]] = {}
        """By engine, what it said last."""
        self._asked_s: dict[str, float] = {}
        self.known = ModelsKnown([])
        """What workers have been told."""

    def current(self) -> ModelsKnown:
        """What a worker that comes is told: before engines were asked, when each model was configured."""
        if not self.known.cards:
            cards: list[ModelCard] = []
            at_once(self._cards(cards))
            self.known = ModelsKnown(cards)
        return self.known

    def forget(self) -> None:
        """There are other settings: ask anew. What was said stands until then."""
        self._asked_s.clear()

    def heard(self, engine: str, listed: Mapping[str, ListedModel]) -> None:
        """An engine has listed its models, whoever asked."""
        self._lists[engine] = listed
        self._asked_s[engine] = self._now()

    async def look(self, down: Collection[ReplicaKey]) -> None:
        """Ask engines that were not asked for long, one replica of each that is not `down`, and tell what is new."""
        listing = dict(self._listing())
        for gone in self._lists.keys() - listing.keys():
            del self._lists[gone]
        late_s = self._now() - AGAIN_S
        late = [name for name in listing if self._asked_s.get(name, late_s) <= late_s]
        await paced(functools.partial(self._ask, name, listing[name], down) for name in late)
        cards: list[ModelCard] = []
        await in_slices(self._cards(cards))
        if cards != self.known.cards:
            self.known = ModelsKnown(cards)
            self._tell(self.known)

    async def _ask(self, name: str, engine: Engine, down: Collection[ReplicaKey]) -> None:
        replica = next((each.id for each in engine.replicas if (name, each.id) not in down), None)
        if replica is None:
            return
        try:
            listed = await engine.models(replica)
        except EngineError:
            return  # what it said before stands; probes say whether it is well
        self.heard(name, {} if listed is None else listed)

    def _cards(self, into: list[ModelCard]) -> Iterator[None]:
        """One for each model, in steps: there may be 1,000."""
        models, now = self._settings().models, int(self._wall())
        since = self._since = {name: self._since.get(name, now) for name in models}
        for at, (name, model) in enumerate(models.items(), 1):
            said = [found for one in _answering(model) if (found := self._lists.get(one.engine, {}).get(one.model))]
            created = next((one.created for one in said if one.created), since[name])
            owned_by = next((one.owned_by for one in said if one.owned_by), "")
            # What keeps to the shortest fits wherever it is sent.
            length = min((one.max_model_len for one in said if one.max_model_len), default=0)
            into.append(ModelCard(name, created, owned_by, length))
            if at % _AT_ONCE == 0:
                yield


def _answering(model: Model) -> Iterator[Target]:
    """The targets that answer its clients, in whatever arm."""
    if model.experiment is None:
        return iter(model.targets)
    return (target for arm in arms_of(model).values() for target in arm.targets)
