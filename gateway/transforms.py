"""What a feature of a route may change in a request or in the events of its answer. No route has any by default.

A request transform runs once, before an endpoint is chosen; it keeps `model` and `stream`, which are acted on already.
An event transform is made anew for each stream, so it may remember.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gateway.errors import Failure

if TYPE_CHECKING:
    from gateway.body.prompt import Prompt
    from gateway.relay.stream import EventTransform
    from routing.facts import RequestFacts


class RequestTransform(Protocol):
    """Changes the body of a request."""

    def apply(self, body: bytes, facts: RequestFacts) -> bytes:
        """The body that goes on in place of `body`. Raises `gateway.errors.Failure` to refuse the request."""


NewEventTransform = Callable[[], "EventTransform"]
"""Makes the transform of one stream."""


def transformed(prompt: Prompt, facts: RequestFacts, transforms: tuple[RequestTransform, ...]) -> Failure | None:
    """Let a route's features change a request, in their order; returns the refusal of the first that refuses it."""
    try:
        for transform in transforms:
            prompt.body = transform.apply(prompt.body, facts)
    except Failure as failure:
        return failure
    return None
