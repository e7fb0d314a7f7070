"""A worker's answers to why: what would become of a request now, and what became of the last ones.

Decisions are recorded of a model for `WATCHED_S` after somebody asked about it, and of requests that ask themselves; at
most `MOST_DECISIONS`, the newest. While nobody asks, a request pays for one look at an empty dictionary.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from engines.model import Operation
from gateway import clock
from gateway.body import envelope
from gateway.body.prompt import Prompt
from gateway.errors import Failure
from gateway.explanation.views import AskRouting, Decision, Explained, ReplicaFigures, Weighed
from gateway.identity import ANONYMOUS
from routing.choosing.explain import explain
from routing.facts import NO_NEEDS, FactSource, RequestFacts
from routing.replicas.replica import NO_SLOT

if TYPE_CHECKING:
    from gateway.identity import Principal
    from routing.choosing.explain import Considered
    from routing.facts import Needs
    from routing.model import Endpoint
    from routing.route import ModelRoute

CHAT: Final = Operation.CHAT.value
WATCHED_S: Final = 60.0
MOST_DECISIONS: Final = 64
"""One of 16 candidates takes some 8 KB."""
MOST_TOLD: Final = 32
MOST_CANDIDATES: Final = 64
"""Of one decision; what is cheapest comes first."""


class Explainer:
    """One worker's. Owned by one thread."""

    def __init__(self, format_time: Callable[[float], str]) -> None:
        """`format_time` turns Unix seconds into text."""
        self._format_time = format_time
        self.watched: dict[str, float] = {}
        """The models whose decisions are recorded, each with when that ends."""
        self.open = False
        """Whether a caller without a key may ask: nobody from elsewhere can reach this gateway."""
        self.decisions: deque[Decision] = deque(maxlen=MOST_DECISIONS)

    def may_ask(self, principal: Principal) -> bool:
        return principal.admin or (self.open and principal is ANONYMOUS)

    def records(self, model: str, now: float) -> bool:
        """Whether somebody wants to know of this model's decisions."""
        until_s = self.watched.get(model)
        if until_s is None:
            return False
        if until_s < now:
            del self.watched[model]
            return False
        return True

    def answer(
        self, question: AskRouting, route: ModelRoute | None, now: float, rng: random.Random, arm: str = ""
    ) -> Explained:
        """What would become of such a request, and the model's last decisions. `route` is that of an `arm`, where the
        model has some; None for no such model or arm."""
        if route is None:
            of = f"of the model {question.model[:128]!r}"
            what = f"the arm {question.arm[:128]!r} {of}" if question.arm else of.removeprefix("of ")
            return Explained(problem=f"{what} does not exist")
        self.watched[question.model] = now + WATCHED_S
        operation = question.operation or (CHAT if CHAT in route.speakers else min(route.speakers, default=CHAT))
        if operation not in route.speakers:
            spoken = ", ".join(sorted(route.speakers)) or "nothing yet"
            return Explained(problem=f"no engine of the model speaks {operation[:64]!r}; it speaks {spoken}")
        try:
            facts = _facts(question, operation, route)
        except Failure as failure:
            return Explained(problem=failure.message)
        told = explain(route, facts, now, rng)
        decisions = [one for one in reversed(self.decisions) if one.model == question.model]
        return Explained(
            policy=route.policy,
            arm=arm,
            operation=operation,
            prompt_tokens=facts.prompt_tokens,
            output_tokens=facts.output_tokens,
            engine=told.chosen.engine if told.chosen is not None else "",
            replica=told.chosen.replica if told.chosen is not None else "",
            reason=told.reason,
            waits=told.waits,
            refused=told.refused,
            queued_requests=route.line.waiting,
            queued_tokens=route.line.waiting_tokens,
            candidates=[weighed(one) for one in told.candidates],
            loads=[_figures(one.endpoint, route, now) for one in told.candidates],
            decisions=decisions[:MOST_TOLD],
        )

    def decided(
        self,
        request_id: str,
        attempt: int,
        endpoint: Endpoint,
        route: ModelRoute,
        facts: RequestFacts,
        waited_s: float,
        now: float,
        tried: Sequence[Endpoint],
    ) -> Decision:
        """Record that a request is being sent to this endpoint, before it counts as in flight there."""
        # Of a policy that draws lots the draw is over: its rule is the reason, whoever it would draw now.
        told = explain(route, facts, now, random.Random(0), tried)  # noqa: S311 - picks nothing
        candidates = sorted(told.candidates, key=lambda one: _rank(one, endpoint))
        decision = Decision(
            self._format_time(clock.wall()),
            request_id,
            route.name,
            attempt,
            endpoint.engine,
            endpoint.replica,
            told.reason,
            facts.prompt_tokens,
            facts.output_tokens,
            [weighed(one) for one in candidates[:MOST_CANDIDATES]],
            round(waited_s * 1e3, 3),
            "" if facts.assignment is None else facts.assignment.arm,
        )
        self.decisions.append(decision)
        return decision


def weighed(candidate: Considered) -> Weighed:
    """A candidate as it is told."""
    endpoint, cost = candidate.endpoint, candidate.cost
    terms: dict[str, float] = {}
    if cost is not None:
        terms = {name: round(ms, 3) for name, ms in cost.terms() if round(ms, 3)}
    return Weighed(
        endpoint.engine,
        endpoint.replica,
        endpoint.model,
        endpoint.tier,
        candidate.state,
        candidate.passed_over,
        candidate.full,
        None if candidate.cached_tokens < 0 else candidate.cached_tokens,
        None if cost is None else round(cost.total_ms, 3),
        terms,
    )


def _rank(candidate: Considered, chosen: Endpoint) -> tuple[bool, int, float]:
    cost = candidate.cost
    return candidate.endpoint is not chosen, candidate.endpoint.tier, 0.0 if cost is None else cost.total_ms


def _figures(endpoint: Endpoint, route: ModelRoute, now: float) -> ReplicaFigures:
    state = endpoint.state
    index = route.prefixes if state.slot != NO_SLOT else None
    return ReplicaFigures(
        endpoint.engine,
        endpoint.replica,
        state.in_flight_requests,
        state.in_flight_tokens,
        state.prefill_tokens,
        state.remote_requests,
        state.remote_tokens,
        state.reported.running(now),
        state.reported.waiting(now),
        state.reported.kv_usage(now),
        round(state.prefill.base_ms, 3),
        round(state.prefill.ms_per_token, 6),
        state.prefill.learned,
        None if index is None else state.cache_blocks,
        None if index is None else index.held(state.slot),
    )


def _facts(question: AskRouting, operation: str, route: ModelRoute) -> RequestFacts:
    """The request that is asked about. Raises Failure for a body that cannot be read."""
    if question.body:
        parsed = envelope.parse(question.body)
        fields = {b"x-session-id": question.session.encode()} if question.session else {}
        prompt = Prompt(Operation(operation), question.body, parsed, fields, b"")
        return prompt.facts(operation, route.tokens, ANONYMOUS)
    output_tokens = route.tokens.output_tokens(question.output_tokens)
    return RequestFacts(operation, question.prompt_tokens, output_tokens, _Named(question.session))


class _Named(FactSource):
    """A request of which only its conversation is known."""

    def __init__(self, session: str) -> None:
        self._session = session

    def prefix(self) -> Sequence[int]:
        return ()

    def session(self) -> str:
        return self._session

    def needs(self) -> Needs:
        return NO_NEEDS
