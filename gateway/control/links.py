"""The links to the workers that are here now. What is told to all is told to each, in the order of their coming."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.links.link import Link
from gateway.links.questions import Answer, LinkError, LinkLost
from gateway.workers.exchange.messages import ToWorker


class Links:
    """Links by the worker's name: one name is one process, and a replacement has another."""

    def __init__(self) -> None:
        self._links: dict[str, Link[ToWorker]] = {}
        self._pids: dict[str, int] = {}

    def __contains__(self, worker: object) -> bool:
        return worker in self._links

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._links))

    def __len__(self) -> int:
        return len(self._links)

    @property
    def pids(self) -> tuple[int, ...]:
        """The worker processes; a worker in our own has none of its own."""
        return tuple(self._pids.values())

    def add(self, worker: str, link: Link[ToWorker], pid: int | None = None) -> None:
        self._links[worker] = link
        if pid is not None:
            self._pids[worker] = pid

    def remove(self, worker: str) -> None:
        """Forget a worker and close its link, which ends what it was asked."""
        link = self._links.pop(worker, None)
        self._pids.pop(worker, None)
        if link is not None:
            link.close()

    def tell(self, worker: str, message: ToWorker, *, bulk: bool = False) -> bool:
        """Tell one worker; returns False when it did not go out."""
        link = self._links.get(worker)
        return link is not None and link.tell(message, bulk=bulk)

    def tell_all(self, message: ToWorker) -> None:
        for link in list(self._links.values()):
            link.tell(message)

    def tell_others(self, worker: str, message: ToWorker) -> int:
        """Tell all but one, as bulk; returns how many it did not go out to."""
        others = [link for name, link in self._links.items() if name != worker]
        return sum(not link.tell(message, bulk=True) for link in others)

    async def ask(
        self, worker: str, message: ToWorker, answer: type[Answer], *, timeout_s: float
    ) -> Answer | LinkError | TimeoutError:
        """Ask one worker; what it answered, or why it did not."""
        link = self._links.get(worker)
        if link is None:
            return LinkLost("the worker is gone")
        try:
            return await link.ask(message, answer, timeout_s=timeout_s)
        except (LinkError, TimeoutError) as error:
            return error

    async def ask_all(
        self, message: ToWorker, answer: type[Answer], *, timeout_s: float, bulk: bool = False
    ) -> dict[str, Answer | LinkError | TimeoutError]:
        """Ask every worker at once; what each answered, or why it did not."""
        names = list(self._links)
        waiting = [self._links[name].ask(message, answer, timeout_s=timeout_s, bulk=bulk) for name in names]
        answers: dict[str, Answer | LinkError | TimeoutError] = {}
        for name, result in zip(names, await asyncio.gather(*waiting, return_exceptions=True), strict=True):
            if isinstance(result, BaseException) and not isinstance(result, (LinkError, TimeoutError)):
                raise result
            answers[name] = result
        return answers
