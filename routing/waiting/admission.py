"""Whether a request of one model may go now, waits, or is refused.

    offer ──room, and nobody waits──> ADMITTED
      ├─ no room ─────> a Ticket: `next` gives it back when it is its turn, `withdraw` when its client has left
      └─ no use ──────> a Refusal: the queue is full, or it could not be answered in time, by its client's deadline or
                        by the model's objective

The line is ordered by priority, and among equals so that tenants are served alike (`routing.waiting.turns`). It is
bounded in tokens, and so is what one tenant may hold of it. An empty line costs one comparison.

Keyed by the model's name and kept by nobody's snapshot: a request that waits is given to the fleet of the moment when
its turn comes, replicas that came meanwhile included.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from routing.facts import RequestFacts
from routing.waiting.first_token import FirstToken
from routing.waiting.holding import Holding
from routing.waiting.returns import LEAST_RETRY_S, Returns
from routing.waiting.turns import Ticket, Turns


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """The line of one model, on one worker."""

    queue_tokens: int = 2_000_000
    """Prompt and expected output tokens that may wait; 0: nothing waits."""
    tenant_ratio: float = 0.5
    """Of those, what one tenant may hold."""
    max_wait_s: float = 60.0
    in_flight: int = 0
    """Requests at one replica from which it counts as full, whatever its engine says; 0: nobody knows."""
    enabled: bool = True
    comment_interval_s: float = 0.0
    """How often the owner tells a client that waits for a stream that it does; 0: never."""


MOST_FORESEEN: Final = 1024
"""Of those ahead; with more the wait is told by how fast the line moves. So many take half a millisecond."""
FORESIGHT: Final = 1.002
"""What is foreseen of a wait is by rates that were learned, and so a little off: a request that would be done to the
millisecond in time is not let in."""
DEFAULT_ADMISSION: Final = AdmissionSettings()
IDLE_SHARE: Final = 0.5
"""How full a replica may be for work of negative priority."""


class Reason(Enum):
    """Why a request was refused."""

    QUEUE_FULL = "queue_full"
    TENANT_QUEUE_FULL = "tenant_queue_full"
    TOO_LATE = "too_late"
    MISSES_OBJECTIVE = "misses_objective"
    WAITED_TOO_LONG = "waited_too_long"
    NEVER_STARTED = "never_started"
    STARTS_TOO_LATE = "starts_too_late"
    START_FAILED = "start_failed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Told to the client: why, and in how many seconds it may be otherwise."""

    reason: Reason
    retry_after_s: float


ADMITTED: Final = None


class Admission:
    """The line of one model. Owned by one thread; `now` never runs backwards."""

    __slots__ = (
        "_bands",
        "_held",
        "_returns",
        "_running",
        "_turns",
        "settings",
        "waiting",
        "waiting_prompt_tokens",
        "waiting_tokens",
    )

    def __init__(self, settings: AdmissionSettings) -> None:
        self.settings = settings
        self.waiting = 0
        self.waiting_tokens = 0
        self.waiting_prompt_tokens = 0
        self._turns = Turns()
        self._bands: dict[int, int] = {}
        """Waiting tokens by priority."""
        self._held: dict[str, int] = {}
        """Waiting tokens by tenant."""
        self._returns = Returns()
        self._running: dict[object, float] = {}
        """Those that went through here and have not ended, each with when it should."""

    @property
    def has_moved(self) -> bool:
        """Whether its own pace is known, so that it need not be told how many requests run."""
        return self._returns.tokens_per_s > 0.0

    def offer(
        self,
        facts: RequestFacts,
        owner: object,
        now: float,
        room: bool,
        takes_s: float = 0.0,
        in_flight: int = 0,
        first: FirstToken | None = None,
    ) -> Ticket | Refusal | None:
        """Whether it may go: None (`ADMITTED`), or it waits with the ticket, or is refused.

        `room`: some endpoint that it may go to is not known to be full, and nobody goes before it. `takes_s`: how long
        it will take once it goes, as far as anybody knows. `in_flight`: how many requests of the model run; 0 where it
        is not known. `first`: when its first token is due, where it is refused if that cannot be met; None where it is
        not, or nobody can tell.
        """
        if room and first is not None and first.over_s > 0.0:
            return self._misses(facts, first, first.over_s, now)
        if not self.waiting and room:
            if facts.deadline_s is not None and now + takes_s > facts.deadline_s:
                return Refusal(Reason.TOO_LATE, LEAST_RETRY_S)
            return ADMITTED
        settings = self.settings
        tokens = facts.prompt_tokens + facts.output_tokens
        if self.waiting_tokens + tokens > settings.queue_tokens:
            running = in_flight * tokens / takes_s if takes_s > 0.0 else 0.0
            return Refusal(Reason.QUEUE_FULL, self._again_s(facts, self.waiting_tokens, now, running))
        held = self._held.get(facts.tenant, 0)
        if held and held + tokens > settings.queue_tokens * settings.tenant_ratio:
            running = in_flight * tokens / takes_s if takes_s > 0.0 else 0.0
            return Refusal(Reason.TENANT_QUEUE_FULL, self._again_s(facts, self._ahead(facts, held), now, running))
        deadline_s = now + settings.max_wait_s
        wait_s = 0.0
        if facts.deadline_s is not None or (first is not None and not room):
            wait_s = self._wait_s(facts, now, takes_s, in_flight)
        if facts.deadline_s is not None:
            if now + (wait_s + takes_s) * FORESIGHT > facts.deadline_s:
                return Refusal(Reason.TOO_LATE, max(LEAST_RETRY_S, wait_s))
            deadline_s = min(deadline_s, facts.deadline_s - takes_s)
        ticket = Ticket(facts, owner, now, deadline_s, takes_s)
        if first is not None:
            over_s = (wait_s + first.alone_s) * FORESIGHT - first.latest_s
            if not room and wait_s > 0.0 and over_s > 0.0:
                return self._misses(facts, first, over_s, now)
            starts_by_s = now + first.latest_s - first.alone_s
            if starts_by_s < deadline_s:
                ticket.deadline_s, ticket.first = starts_by_s, first
        self._enter(ticket, now)
        return ticket

    def hold(
        self, facts: RequestFacts, owner: object, now: float, holding: Holding, starts_in_s: float
    ) -> Ticket | Refusal:
        """There is no replica, and one is being started, which should serve in so many seconds: wait for it, unless the
        client would not, or too much waits already."""
        if facts.deadline_s is not None and now + starts_in_s > facts.deadline_s:
            return Refusal(Reason.STARTS_TOO_LATE, max(LEAST_RETRY_S, starts_in_s))
        tokens = facts.prompt_tokens + facts.output_tokens
        if self.waiting_tokens + tokens > holding.tokens:
            return Refusal(Reason.QUEUE_FULL, max(LEAST_RETRY_S, starts_in_s))
        held = self._held.get(facts.tenant, 0)
        if held and held + tokens > holding.tokens * self.settings.tenant_ratio:
            return Refusal(Reason.TENANT_QUEUE_FULL, max(LEAST_RETRY_S, starts_in_s))
        deadline_s = now + holding.most_s
        if facts.deadline_s is not None:
            deadline_s = min(deadline_s, facts.deadline_s)
        ticket = Ticket(facts, owner, now, deadline_s)
        ticket.held = True
        self._enter(ticket, now)
        return ticket

    def held(self) -> list[Ticket]:
        """Those that wait for the first replica, in no order."""
        return [ticket for ticket in self._turns if ticket.held]

    def next(self, now: float) -> Ticket | None:
        """The one whose turn it is, out of the line; None when nobody waits. Call it when there is room."""
        ticket = self._turns.take()
        if ticket is not None:
            self._leave(ticket)
            self._returns.left(ticket.tokens, now)
        return ticket

    def first(self) -> Ticket | None:
        """The one whose turn is next, still in the line."""
        return self._turns.first()

    def passes(self, facts: RequestFacts) -> bool:
        """Whether whoever waits is of lower priority, so that it would go before all of them."""
        return not any([band >= facts.priority for band in self._bands])  # noqa: C419 - compiled, it is faster

    def near(self, most: int) -> list[Ticket]:
        """So many of those whose turn is next, still in the line, in order."""
        return self._turns.near(most)

    def pass_by(self, ticket: Ticket, now: float) -> None:
        """It goes before its turn, as there is room for it where those before it may not go."""
        self._turns.pass_by(ticket)
        self._leave(ticket)
        self._returns.left(ticket.tokens, now)

    def withdraw(self, ticket: Ticket) -> None:
        """It waits no more: its client has left, or its time is up. Safe to call again."""
        if ticket.waits:
            self._turns.remove(ticket)
            self._leave(ticket)

    def started(self, owner: object, ends_s: float) -> None:
        """It went, and should be over then. Call `ended` once it is."""
        self._running[owner] = ends_s

    def ended(self, owner: object) -> None:
        """It is over. Owners that never started are fine."""
        self._running.pop(owner, None)

    def overdue(self, ticket: Ticket, now: float, starts_in_s: float = 0.0) -> Refusal:
        """What one is told whose time was up while it waited. `starts_in_s`: when the replica that it waited for should
        serve, if it waited for the first one."""
        if ticket.held:
            return Refusal(Reason.NEVER_STARTED, max(LEAST_RETRY_S, starts_in_s))
        facts = ticket.facts
        if ticket.first is not None:
            return Refusal(Reason.MISSES_OBJECTIVE, self._again_s(facts, self._ahead(facts, ticket.tokens), now))
        return Refusal(Reason.WAITED_TOO_LONG, self._again_s(facts, self._ahead(facts, ticket.tokens), now))

    def _misses(self, facts: RequestFacts, first: FirstToken, over_s: float, now: float) -> Refusal:
        """It would be so late: it may come again once that much has been worked off, and for those of its tenant that
        were told so before it."""
        most_s, sharers = self.settings.max_wait_s, max(1, len(self._held))
        again_s = self._returns.after_s(facts.tenant, over_s, first.one_s * sharers, most_s, now)
        return Refusal(Reason.MISSES_OBJECTIVE, again_s)

    def _enter(self, ticket: Ticket, now: float) -> None:
        if not self.waiting:
            self._returns.began(now)
            self._turns.clear()
        ticket.line = self
        self._turns.add(ticket)
        self.waiting += 1
        self.waiting_tokens += ticket.tokens
        self.waiting_prompt_tokens += ticket.facts.prompt_tokens
        priority = ticket.facts.priority
        self._bands[priority] = self._bands.get(priority, 0) + ticket.tokens
        self._held[ticket.tenant] = self._held.get(ticket.tenant, 0) + ticket.tokens

    def _leave(self, ticket: Ticket) -> None:
        ticket.waits = False
        self.waiting -= 1
        self.waiting_tokens -= ticket.tokens
        self.waiting_prompt_tokens -= ticket.facts.prompt_tokens
        priority = ticket.facts.priority
        self._bands[priority] -= ticket.tokens
        if not self._bands[priority]:
            del self._bands[priority]
        held = self._held[ticket.tenant] - ticket.tokens
        if held:
            self._held[ticket.tenant] = held
        else:
            del self._held[ticket.tenant]

    def _wait_s(self, facts: RequestFacts, now: float, takes_s: float, in_flight: int) -> float:
        """How long it would wait: until those ahead have gone, each when one that runs ends; or, where it is not known
        how long they take, as fast as the line has lately moved, and 0 where it has not moved yet."""
        if takes_s > 0.0 and 0 < in_flight and self.waiting <= MOST_FORESEEN:
            takes = [ticket.takes_s for ticket in self._turns.before(facts)]
            if not takes or min(takes) > 0.0:
                return foreseen(takes, self._ends(now, takes_s, in_flight)) - now
        rate = self._returns.tokens_per_s
        if rate <= 0.0:
            return 0.0
        own = self._held.get(facts.tenant, 0) + facts.prompt_tokens + facts.output_tokens
        return self._ahead(facts, own) / rate

    def _ahead(self, facts: RequestFacts, own: int) -> int:
        """The tokens that go before the last of so many of its tenant's: what comes first by priority, and of its
        equals at most as much of each as of its own tenant."""
        priority = facts.priority
        ahead = sum([tokens for band, tokens in self._bands.items() if band > priority])
        return ahead + min(self._bands.get(priority, 0), own * len(self._held))

    def _again_s(self, facts: RequestFacts, ahead: int, now: float, running_per_s: float = 0.0) -> float:
        """In how many seconds one should come again that is refused now."""
        if not self.waiting:
            self._returns.began(now)
        tokens, most_s = facts.prompt_tokens + facts.output_tokens, self.settings.max_wait_s
        return self._returns.again_s(facts.tenant, ahead, tokens, len(self._held), most_s, now, running_per_s)

    def _ends(self, now: float, takes_s: float, in_flight: int) -> list[float]:
        """When those that run should end. One that has run for longer than it should is taken to run on for as long
        again as it is over. Of one that did not go through here nobody knows: they end one by one within the time that
        this one takes."""
        ends = [end_s if end_s > now else 2.0 * now - end_s for end_s in self._running.values()]
        others = max(0, in_flight - len(ends))
        return ends + [now + takes_s * (at + 0.5) / others for at in range(others)]


def foreseen(ahead: Sequence[float], ends: Sequence[float]) -> float:
    """When the next one can go after those `ahead`, each of which takes so many seconds and goes as soon as one that
    runs ends; `ends` is when they do, one at least."""
    free = list(ends)
    heapq.heapify(free)
    for takes_s in ahead:
        heapq.heapreplace(free, free[0] + takes_s)
    return free[0]
