"""Replicas that have just come and have not said yet whether they sleep: asked before all others, a few at a time.

They get nothing until they have said it, and a start may bring 19,200 of them: to ask all at once would hold the loop,
and at the pace of a round the last would be kept from requests for most of a minute.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from engines.port import Spawn
from gateway.control.pacing import paced

Question = Callable[[], Coroutine[Any, Any, None]]


class Greeted:
    """See the module."""

    def __init__(
        self,
        spawn: Spawn,
        known: Callable[[str], bool],
        ask: Callable[[str, str], Coroutine[Any, Any, None]],
    ) -> None:
        """`known` says whether an engine can be asked by now; `ask` asks one replica of it."""
        self._spawn = spawn
        self._known = known
        self._ask = ask
        self._waiting: dict[str, dict[str, None]] = {}
        """By engine."""
        self._asking = False

    def add(self, engine: str, replica: str) -> None:
        """One has come. It is asked soon, or in the next `look` where its engine cannot be asked yet."""
        self._waiting.setdefault(engine, {})[replica] = None
        if not self._asking:
            self._asking = True
            self._spawn("look at new replicas", self._look)

    async def look(self) -> None:
        """Ask all that wait and can be asked."""
        await paced(self.questions(), hurried=True)

    def questions(self) -> Iterator[Question]:
        """Of each that waits and can be asked, once."""
        while engines := [engine for engine in self._waiting if self._known(engine)]:
            for engine in engines:
                for replica in self._waiting.pop(engine, {}):
                    yield functools.partial(self._ask, engine, replica)

    async def _look(self) -> None:
        try:
            await paced(self._first(), hurried=True)
        finally:
            self._asking = False

    def _first(self) -> Iterator[Question]:
        yield from self.questions()
        self._asking = False  # who comes now is not kept waiting for answers
