"""Asks every worker why requests go where they go: each has a view of its own of the replicas."""

from __future__ import annotations

from typing import Final

from gateway.control.links import Links
from gateway.explanation.views import AskRouting, Explained

EXPLAIN_S: Final = 5.0


async def explained(links: Links, question: AskRouting) -> dict[str, Explained]:
    """What each worker says, by its name; of one that is late, that."""
    answers = await links.ask_all(question, Explained, timeout_s=EXPLAIN_S, bulk=True)
    late = Explained(problem="the worker did not answer in time")
    return {worker: answer if isinstance(answer, Explained) else late for worker, answer in answers.items()}
