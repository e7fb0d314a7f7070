"""Whether the models that targets name are there: each engine's own list against what the configuration asks of it.

A wrong name is found at the first request otherwise, as a 404 that nobody can place. Engines are asked in the
background, at start and after each reload, once they answer; what they lack is logged once. Those without a free list
are not asked, and one whose answer is no list is taken to be right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import structlog

from engines.errors import CredentialsRefused, EngineError
from engines.model_list import ListedModel
from engines.port import Engine
from gateway.control.pacing import paced
from gateway.fleet.arms import all_of
from gateway.settings import Settings
from gateway.wildcard_names import is_wildcard
from routing.replicas.replica import ReplicaKey

MOST_TRIES: Final = 10
"""Of an engine that is well and does not answer this."""
MOST_ASKED: Final = 4
"""Replicas of one engine in one look: the first may be one that is away and not known to be."""
MOST_NAMES: Final = 20
MOST_LETTERS: Final = 128

log = structlog.get_logger()


@dataclass(slots=True)
class _Question:
    models: dict[str, list[str]] = field(default_factory=dict)
    """Upstream name -> the public models whose targets ask for it."""
    tries: int = 0


@dataclass(slots=True)
class Said:
    """What an engine said when it was asked for its models."""

    replica: str
    state: str
    """`reachable`, `refused` or `unreachable`."""
    why: str = ""
    lacks: list[str] = field(default_factory=list)
    """Upstream models that targets ask for, and that are not in its list."""


class TargetCheck:
    """What is still to be compared."""

    def __init__(
        self,
        watched: Callable[[], Collection[tuple[str, Engine]]],
        heard: Callable[[str, Mapping[str, ListedModel]], None] = lambda _engine, _listed: None,
    ) -> None:
        """`watched` are the engines whose replicas the configuration writes down, by name; `heard` is told what each
        lists."""
        self._watched = watched
        self._heard = heard
        self._open: dict[str, _Question] = {}
        self.said: dict[str, Said] = {}
        """What came of it, by engine: of those that were asked."""

    def use(self, settings: Settings) -> None:
        """These settings are in use now: compare all of their targets anew."""
        self._open, self.said = {}, {}
        for name, model in settings.models.items():
            asked = {(target.engine, target.model) for arm in all_of(model) for target in arm.targets}
            for engine, upstream in sorted(asked):
                if is_wildcard(name) or upstream in settings.engines[engine].adapter_paths:
                    continue  # it comes and goes (`gateway.control.asking.adapters`)
                question = self._open.setdefault(engine, _Question())
                question.models.setdefault(upstream, []).append(name)

    async def look(self, down: Collection[ReplicaKey]) -> None:
        """Ask the engines that have not answered yet, one replica of each that is not `down`."""
        if not self._open:
            return
        watched = dict(self._watched())
        for name in self._open.keys() - watched.keys():  # launched ones serve under the names that targets ask for
            del self._open[name]
        await paced(functools.partial(self._ask, name, watched[name], down) for name in list(self._open))

    async def _ask(self, name: str, engine: Engine, down: Collection[ReplicaKey]) -> None:
        question = self._open.get(name)
        if question is None:
            return  # there are other settings by now
        up = [each.id for each in engine.replicas if (name, each.id) not in down]
        for replica in up[:MOST_ASKED]:
            try:
                listed = await engine.models(replica)
            except EngineError as error:
                if self._open.get(name) is not question:
                    return  # there are other settings by now
                refused = isinstance(error, CredentialsRefused)
                if refused and not question.tries:
                    log.warning("engine_refuses", engine=name, replica=replica, why=str(error))
                self.said[name] = Said(replica, "refused" if refused else "unreachable", str(error))
                if refused:
                    break  # the key is that of all
            else:
                if self._open.get(name) is question:
                    self._compare(name, replica, question, listed)
                return
        question.tries += bool(up)
        if question.tries >= MOST_TRIES:
            del self._open[name]

    def _compare(self, name: str, replica: str, question: _Question, listed: Mapping[str, ListedModel] | None) -> None:
        """Say what the list lacks; the question is answered."""
        del self._open[name]
        self.said[name] = said = Said(replica, "reachable")
        if listed is None:
            return
        self._heard(name, listed)
        for model, public in question.models.items():
            if model not in listed:
                said.lacks.append(model)
                log.warning(
                    "target_model_unknown",
                    engine=name,
                    replica=replica,
                    model=model,
                    targets_of=public[:MOST_NAMES],
                    engine_has=[has[:MOST_LETTERS] for has in islice(listed, MOST_NAMES)],
                    engine_has_models=len(listed),
                )
