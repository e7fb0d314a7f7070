"""Whether the models that targets name are there: each engine's own list against what the configuration asks of it.

A wrong name is found at the first request otherwise, as a 404 that nobody can place. Engines are asked in the
background, at start and after each reload, once they answer, each replica by itself; what they lack is logged once.
Those without a free list are not asked, and one whose answer is no list is taken to be right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import structlog

from engines.errors import CredentialsRefused, EngineError
from engines.model_list import ListedModel
from engines.port import Engine
from gateway.control.pacing import paced
from gateway.fleet.arms import targets_of
from gateway.fleet.steps import in_slices
from gateway.settings import Model, Settings
from gateway.wildcard_names import is_wildcard
from routing.replicas.replica import ReplicaKey

MOST_TRIES: Final = 10
"""Of an engine that is well and does not answer this."""
MOST_ASKED: Final = 40
"""Replicas of one engine: as many as the first screen has rows. Those of an engine are seldom of two minds."""
MOST_NAMES: Final = 20
MOST_LETTERS: Final = 128
_AT_ONCE: Final = 16
"""Models to a step."""
_FREED_AT_ONCE: Final = 64

log = structlog.get_logger()


@dataclass(slots=True)
class _Question:
    models: dict[str, list[str]] = field(default_factory=dict)
    """Upstream name -> the public models whose targets ask for it."""
    answered: set[str] = field(default_factory=set)
    """Replicas that have answered."""
    tries: int = 0


@dataclass(slots=True)
class Said:
    """What a replica said when it was asked for its models."""

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
        """`watched` are the engines whose replicas the configuration writes down, by name; `heard` is told what the
        first replica of each that answers lists."""
        self._watched = watched
        self._heard = heard
        self._open: dict[str, _Question] = {}
        self.said: dict[ReplicaKey, Said] = {}
        """What came of it: of those that were asked."""

    def use(self, settings: Settings) -> Iterator[None]:
        """These settings are in use now: compare all of their targets anew. In steps."""
        opened: dict[str, _Question] = {}
        for at, (name, model) in enumerate(settings.models.items(), 1):
            for engine, upstream in [] if is_wildcard(name) else _asked_by(model):
                if upstream in settings.engines[engine].adapter_paths:
                    continue  # it comes and goes (`gateway.control.asking.adapters`)
                question = opened.setdefault(engine, _Question())
                question.models.setdefault(upstream, []).append(name)
            if at % _AT_ONCE == 0:
                yield
        asked, said = self._open, self.said
        self._open, self.said = opened, {}
        yield
        for old in asked, said:  # of 12,000 that were asked, to let go at once would take 4 ms
            while old:
                for _ in range(min(len(old), _FREED_AT_ONCE)):
                    old.popitem()
                yield

    async def look(self, down: Collection[ReplicaKey], *, hurried: bool = False) -> None:
        """Ask the replicas that have not answered yet and are not `down`: each is an engine of its own."""
        if not self._open:
            return
        watched = dict(self._watched())
        for name in self._open.keys() - watched.keys():  # launched ones serve under the names that targets ask for
            del self._open[name]
        looks: list[_Look] = []
        await paced(self._questions(dict(self._open), watched, down, looks), hurried=hurried)
        await in_slices(self._conclusions(looks))

    def _questions(
        self,
        asked: Mapping[str, _Question],
        watched: Mapping[str, Engine],
        down: Collection[ReplicaKey],
        looks: list[_Look],
    ) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        """One for each replica that is to answer; the looks that they belong to are added to `looks`."""
        for name, question in asked.items():
            look = _Look(name, watched[name], question, down)
            looks.append(look)
            for replica in look.asked:
                yield functools.partial(self._ask, look, replica)

    def _conclusions(self, looks: Iterable[_Look]) -> Iterator[None]:
        for look in looks:
            if self._open.get(look.name) is look.question:  # else there are other settings by now
                self._conclude(look)
            yield

    async def _ask(self, look: _Look, replica: str) -> None:
        key, question = (look.name, replica), look.question
        try:
            listed = await look.engine.models(replica)
        except EngineError as error:
            if self._open.get(look.name) is not question:
                return
            refused = isinstance(error, CredentialsRefused)
            if refused and not question.tries and not look.refused:
                look.refused = True
                log.warning("engine_refuses", engine=look.name, replica=replica, why=str(error))
            self.said[key] = Said("refused" if refused else "unreachable", str(error))
            return
        if self._open.get(look.name) is not question:
            return
        first = not question.answered
        question.answered.add(replica)
        self.said[key] = said = Said("reachable")
        if listed is None:
            return
        if first:
            self._heard(look.name, listed)
        said.lacks += [model for model in question.models if model not in listed]
        for model in said.lacks:
            look.lists.setdefault(model, listed)
            look.lacking.setdefault(model, []).append(replica)

    def _conclude(self, look: _Look) -> None:
        """Say what lists lack, one line for each model; the question may be answered."""
        question = look.question
        for model, replicas in look.lacking.items():
            listed = look.lists[model]
            log.warning(
                "target_model_unknown",
                engine=look.name,
                replica=replicas[0],
                model=model,
                targets_of=question.models[model][:MOST_NAMES],
                engine_has=[has[:MOST_LETTERS] for has in islice(listed, MOST_NAMES)],
                engine_has_models=len(listed),
                lacked_by=len(replicas),
            )
        question.tries += any(replica not in question.answered for replica in look.asked)
        if question.tries >= MOST_TRIES or question.answered.issuperset(look.all):
            del self._open[look.name]


def _asked_by(model: Model) -> list[tuple[str, str]]:
    """The engines that its targets name, each with the model that it is asked for there."""
    return sorted({(target.engine, target.model) for target in targets_of(model)})


class _Look:
    """One look at one engine."""

    def __init__(self, name: str, engine: Engine, question: _Question, down: Collection[ReplicaKey]) -> None:
        self.name = name
        self.engine = engine
        self.question = question
        self.all = [each.id for each in islice(engine.replicas, MOST_ASKED)]
        self.asked = [id for id in self.all if id not in question.answered and (name, id) not in down]
        self.refused = False
        """Whether the log has it."""
        self.lacking: dict[str, list[str]] = {}
        """Upstream model -> the replicas that lack it."""
        self.lists: dict[str, Mapping[str, ListedModel]] = {}
        """Upstream model -> what the first of them has."""
