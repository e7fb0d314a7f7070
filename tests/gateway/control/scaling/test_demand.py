from __future__ import annotations

from typing import Any

import pytest

from gateway.control.links import Links
from gateway.control.scaling.demand import ask_demand
from gateway.workers.exchange.demand import Demand

pytestmark = pytest.mark.anyio


class Worker:
    """A link to one that answers, or does not."""

    def __init__(self, answers: bool) -> None:
        self._answers = answers

    async def ask(self, *_: object, **__: object) -> Demand:
        if not self._answers:
            raise TimeoutError
        return Demand([])


async def test_a_worker_that_does_not_answer_is_named_all_the_same() -> None:
    links = Links()
    for name, answers in (("0", True), ("1", False)):
        worker: Any = Worker(answers)
        links.add(name, worker)
    assert await ask_demand(links, ["e"]) == {"0": [], "1": None}
