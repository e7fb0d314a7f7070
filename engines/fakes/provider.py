"""What a fake provider is: where its endpoints are, who may call, and how it says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engines.fakes.asked import Asked
from engines.fakes.call import Call, HeaderList
from engines.fakes.frames import Format
from engines.fakes.limits import Left
from engines.fakes.problems import Problem


@dataclass(frozen=True, slots=True)
class Chat:
    """An endpoint whose answer a model writes."""

    form: Format
    read: Callable[[Call], Asked]
    """Raises Problem, or what msgspec raises, for a request that the provider would refuse."""
    answers_blocked: bool = False
    """Whether a blocked prompt gets an answer that says so, and not an error."""


@dataclass(frozen=True, slots=True)
class Plain:
    """An endpoint that answers at once: embeddings, lists, counts."""

    answer: Callable[[Call], tuple[str, Any]]
    """The model that was asked for (empty for none), and the answer to write as JSON. Raises as `Chat.read` does."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a problem is told."""

    status: int
    body: Any
    headers: HeaderList


class Provider(Protocol):
    """One provider."""

    name: str

    def key(self, call: Call) -> str:
        """Who calls, once the headers that every call needs are there and right. Raises Problem."""

    def route(self, call: Call) -> Chat | Plain:
        """The endpoint that a call is for. Raises Problem where there is none."""

    def refusal(self, problem: Problem, number: int) -> Refusal: ...

    def headers(self, number: int, left: Left) -> HeaderList:
        """What comes with every answer: its id, and what the key may still do."""
