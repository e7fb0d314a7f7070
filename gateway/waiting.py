"""Where requests wait whose model has no room: a line for each model (`routing.waiting.admission`), a timer for each.

Whenever something may have made room (a request ended, a replica came, an engine said so), those whose turn it is go,
on the fleet of that moment. Nobody who waits holds a fleet, a task or an endpoint.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway import clock
from gateway.errors import Failure
from gateway.refusing.absence import nobody_for
from routing.choosing.policy import choose_with_room, in_time
from routing.waiting.admission import Admission, Reason, Refusal
from routing.waiting.service import takes_s
from routing.waiting.turns import Ticket

if TYPE_CHECKING:
    from gateway.fleet.snapshot import Serving
    from gateway.reply import Reply
    from routing.experiments.experiment import Assignment
    from routing.facts import Needs, RequestFacts
    from routing.model import Endpoint
    from routing.waiting.first_token import FirstToken

LOOK_S: Final = 0.05
"""How long room may stay unnoticed that nothing tells of: a breaker that lets a probe through, a report that fades."""

MOST_PASSED: Final = 32
"""Of those next in line that are looked at for who may go elsewhere than the first one."""

COMMENT: Final = b"waiting for a replica"


class Wakes(Protocol):
    """Who starts what does not run: `gateway.workers.exchange.wakes.Wakes`."""

    def ask(self, engines: Sequence[str], now: float) -> float:
        """Wake these; returns in how many seconds the first of them should serve."""

    def failed(self, engines: Sequence[str], now: float) -> float | None:
        """In how many seconds the first of these is tried again; None unless each fails to start."""


_WORDS: Final = {
    Reason.QUEUE_FULL: "every replica is full and so is the queue",
    Reason.TENANT_QUEUE_FULL: "too many of your requests wait already",
    Reason.TOO_LATE: "it could not be answered within the time that the request allows",
    Reason.MISSES_OBJECTIVE: "it could not be answered within the objective of the model",
    Reason.WAITED_TOO_LONG: "every replica stayed full for as long as a request may wait",
    Reason.NEVER_STARTED: "its first replica has not come to serve for as long as a request may wait",
    Reason.STARTS_TOO_LATE: "its first replica starts, and will not serve within the time that the request allows",
    Reason.START_FAILED: "its first replica failed to start, and is tried again",
}


class Guest(Protocol):
    """A request that may have to wait: `gateway.flight.Flight`."""

    model: str
    facts: RequestFacts
    streams: bool
    reply: Reply

    def head_down(self) -> bytes:
        """The gateway's own response headers."""

    def called(self, serving: Serving, endpoint: Endpoint, waited_s: float, now: float) -> None:
        """Its turn has come: go there."""

    def fail(self, failure: Failure) -> None: ...


class Counts(Protocol):
    """What becomes of those who ask for room: `gateway.accounts.settlement.Settlement`."""

    def shed(self, model: str, reason: str) -> None: ...


_KINDS: Final = {
    Reason.TENANT_QUEUE_FULL: "tenant_queue_full",
    Reason.NEVER_STARTED: "no_replica",
    Reason.STARTS_TOO_LATE: "no_replica",
    Reason.START_FAILED: "no_replica",
}


class WaitingRoom:
    """All lines of one worker."""

    __slots__ = ("_counts", "_look", "_loop", "_pumping", "_rng", "_wakes", "busy", "give_way", "serving", "went")

    def __init__(
        self,
        serving: Callable[[str, Assignment | None], Serving | None],
        counts: Counts,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        wakes: Wakes | None = None,
    ) -> None:
        """`wakes`: None where no engine can be started."""
        self._wakes = wakes
        self.serving = serving
        """Finds what serves requests of this model and arm in the fleet of the moment."""
        self._counts = counts
        self._loop = loop
        self._rng = rng
        self.busy: dict[Admission, str] = {}
        """The lines in which somebody waits, with the model of each: arms with targets of their own have their own."""
        self.went: dict[Guest, Admission] = {}
        """Those that went and have not ended, each with its line."""
        self.give_way: Callable[[Serving], bool] | None = None
        """Asks what no client waits for to leave the replicas of this; returns whether anything did."""
        self._pumping = False
        self._look: asyncio.TimerHandle | None = None

    def enter(self, guest: Guest, serving: Serving, endpoint: Endpoint, now: float) -> Ticket | None:
        """Go, wait or be refused, as there is room; `endpoint` is where it would go. Returns the ticket if it waits."""
        line = serving.route.line
        facts = guest.facts
        room = False
        refuses = serving.route.refuse_late_ms > 0.0
        # Whom it need not wait for (`freed`, below) makes it no later.
        if not line.waiting or (refuses and (serving.route.is_divided or line.passes(facts))):
            found, room = choose_with_room(serving.route, facts, now, self._rng, endpoint)
            if not room and self.give_way is not None and self.give_way(serving):
                found, room = choose_with_room(serving.route, facts, now, self._rng)
            endpoint = found or endpoint
        first: FirstToken | None = None
        if refuses:
            endpoint, first = in_time(serving.route, endpoint, facts, now, room)
        known = room or (facts.deadline_s is None and first is None and line.has_moved)
        in_flight = 0 if known else _in_flight(serving, facts)
        takes = takes_s(facts, endpoint.state)
        answer = line.offer(facts, guest, now, room, takes, in_flight, first)
        if answer is None:
            self._goes(line, guest, now + takes)
            guest.called(serving, endpoint, 0.0, now)
        elif isinstance(answer, Ticket):
            self._waits(guest, line, answer, now)
            if line.waiting > 1 and (serving.route.is_divided or line.first() is answer):
                # Those before it want emptier replicas, or others: there may be room for this one all the same.
                self.freed(now)
            return answer if answer.waits else None
        else:
            self._refuse(guest, answer)
        return None

    def hold(self, guest: Guest, serving: Serving, now: float) -> Ticket | None:
        """Nobody may be asked. Where that is because no replica runs, and one can be started, it waits for that one;
        else it is refused. Returns the ticket if it waits."""
        route, facts = serving.route, guest.facts
        holding = route.holding
        if holding is None or self._wakes is None or _somebody(serving, facts):
            guest.fail(nobody_for(route, facts, now))
            return None
        serves_in_s = self._wakes.ask(holding.engines, now)
        again_s = self._wakes.failed(holding.engines, now)
        if again_s is not None:
            self._refuse(guest, Refusal(Reason.START_FAILED, max(1.0, again_s)))
            return None
        answer = route.line.hold(facts, guest, now, holding, serves_in_s)
        if isinstance(answer, Refusal):
            self._refuse(guest, answer)
            return None
        self._waits(guest, route.line, answer, now)
        return answer

    def start_failed(self, engine: str, now: float) -> None:
        """Nothing of this engine runs, and its start has failed: who waits for nothing else is told."""
        wakes = self._wakes
        if wakes is None:
            return
        for line in tuple(self.busy):
            for ticket in line.held():
                guest = _guest(ticket)
                serving = self.serving(guest.model, ticket.facts.assignment)
                holding = serving.route.holding if serving is not None else None
                if holding is None or engine not in holding.engines:
                    continue
                again_s = wakes.failed(holding.engines, now)
                if again_s is not None:
                    line.withdraw(ticket)
                    _stop(ticket)
                    self._refuse(guest, Refusal(Reason.START_FAILED, max(1.0, again_s)))
            self._idle(line)

    def _waits(self, guest: Guest, line: Admission, ticket: Ticket, now: float) -> None:
        self.busy[line] = guest.model
        left_s = max(0.0, ticket.deadline_s - now)
        ticket.timer = self._loop.call_later(left_s, lambda: self._overdue(line, ticket))
        if guest.streams:
            self._comment_later(line, ticket)
        self._look_later()

    def _comment_later(self, line: Admission, ticket: Ticket) -> None:
        interval_s = line.settings.comment_interval_s
        if interval_s > 0.0:
            ticket.comments = self._loop.call_later(interval_s, lambda: self._comment(line, ticket))

    def _comment(self, line: Admission, ticket: Ticket) -> None:
        """Nobody on the way shall take a client that waits for one that hangs: its head leaves, and a comment."""
        guest = _guest(ticket)
        guest.reply.comment(COMMENT, guest.head_down())
        self._comment_later(line, ticket)

    def leave(self, guest: Guest, ticket: Ticket) -> None:
        """Its client has gone."""
        line = ticket.line
        if line is not None and ticket.waits:
            line.withdraw(ticket)
            _stop(ticket)
            self._idle(line)

    def over(self, guest: Guest, now: float) -> None:
        """A request has ended, perhaps one that went through here: whoever's turn it is, goes."""
        line = self.went.pop(guest, None)
        if line is not None:
            line.ended(guest)
        if self.busy:
            self.freed(now)

    def _goes(self, line: Admission, guest: Guest, ends_s: float) -> None:
        line.started(guest, ends_s)
        self.went[guest] = line

    def freed(self, now: float) -> None:
        """There may be room: whoever's turn it is, goes."""
        if self._pumping:
            return  # what was just let go has ended at once, and the loop below looks again
        self._pumping = True
        try:
            for line in tuple(self.busy):
                self._pump(line, now)
        finally:
            self._pumping = False

    def _pump(self, line: Admission, now: float) -> None:
        while (ticket := line.first()) is not None:
            where = self._room_for(ticket, now)
            if where is None:
                self._pass(line, ticket, now)
                break
            if ticket.first is not None:
                where, late = self._still_in_time(line, ticket, where, now)
                if late:
                    continue
            line.next(now)
            self._calls(line, ticket, where, now)
        self._idle(line)

    def _still_in_time(
        self, line: Admission, ticket: Ticket, where: tuple[Serving, Endpoint], now: float
    ) -> tuple[tuple[Serving, Endpoint], bool]:
        """Its turn has come, and what waits at the replica itself comes before it: where it goes, and whether it has
        been refused, since it would be late."""
        serving, endpoint = where
        endpoint, first = in_time(serving.route, endpoint, ticket.facts, now, waited_s=now - ticket.since_s)
        if first is None or first.over_s <= 0.0:
            return (serving, endpoint), False
        line.withdraw(ticket)
        _stop(ticket)
        self._refuse(_guest(ticket), line.overdue(ticket, now))
        return where, True

    def _pass(self, line: Admission, stuck: Ticket, now: float) -> None:
        """There is no room where the first one may go. Of those next in line, who may go elsewhere does."""
        serving = self.serving(_guest(stuck).model, stuck.facts.assignment)
        if serving is None or not serving.route.is_divided:
            return
        full = {_asks_for(stuck.facts)}
        for ticket in line.near(MOST_PASSED):
            what = _asks_for(ticket.facts)
            if what in full or not ticket.waits:
                continue
            where = self._room_for(ticket, now)
            if where is None:
                full.add(what)
                continue
            if ticket.first is not None:
                where, late = self._still_in_time(line, ticket, where, now)
                if late:
                    continue
            line.pass_by(ticket, now)
            self._calls(line, ticket, where, now)

    def _room_for(self, ticket: Ticket, now: float) -> tuple[Serving, Endpoint] | None:
        """Where it may go now."""
        serving = self.serving(_guest(ticket).model, ticket.facts.assignment)
        if serving is None or ticket.facts.operation not in serving.route.speakers:
            return None  # its model has left the configuration, and may come back while it waits
        endpoint, room = choose_with_room(serving.route, ticket.facts, now, self._rng)
        return (serving, endpoint) if endpoint is not None and room else None

    def _calls(self, line: Admission, ticket: Ticket, where: tuple[Serving, Endpoint], now: float) -> None:
        """Its turn has come, and it is out of the line."""
        serving, endpoint = where
        guest = _guest(ticket)
        _stop(ticket)
        self._goes(line, guest, now + takes_s(ticket.facts, endpoint.state))
        guest.called(serving, endpoint, now - ticket.since_s, now)

    def _idle(self, line: Admission) -> None:
        if not line.waiting:
            self.busy.pop(line, None)

    def _overdue(self, line: Admission, ticket: Ticket) -> None:
        if ticket.waits:
            line.withdraw(ticket)
            _stop(ticket)
            guest = _guest(ticket)
            self._idle(line)
            now = clock.monotonic()
            self._refuse(guest, line.overdue(ticket, now, self._starts_in_s(ticket, now) if ticket.held else 0.0))

    def _starts_in_s(self, ticket: Ticket, now: float) -> float:
        """When the replica should serve that it has waited for; 0 where its model has left."""
        serving = self.serving(_guest(ticket).model, ticket.facts.assignment)
        holding = None if serving is None else serving.route.holding
        return 0.0 if holding is None or self._wakes is None else self._wakes.ask(holding.engines, now)

    def _refuse(self, guest: Guest, refusal: Refusal) -> None:
        self._counts.shed(guest.model, refusal.reason.value)
        kind = _KINDS.get(refusal.reason, "overloaded")
        after_s = refusal.retry_after_s
        message = f"model {guest.model!r}: {_WORDS[refusal.reason]}; try again in {max(1, ceil(after_s))} s"
        guest.fail(Failure(kind, message, retry_after_s=after_s))

    def _look_later(self) -> None:
        if self._look is None:
            self._look = self._loop.call_later(LOOK_S, self._looked)

    def _looked(self) -> None:
        self._look = None
        self.freed(clock.monotonic())
        if self.busy:
            self._look_later()


def _guest(ticket: Ticket) -> Guest:
    return cast("Guest", ticket.owner)  # the line hands back what was offered, and knows no more of it


def _asks_for(facts: RequestFacts) -> tuple[str, Needs, bool]:
    """What decides where it may go, and how idle that must be."""
    return facts.operation, facts.needs, facts.priority < 0


def _stop(ticket: Ticket) -> None:
    timers = ticket.timer, ticket.comments
    ticket.timer = ticket.comments = None
    for timer in timers:
        if timer is not None:
            cast("asyncio.TimerHandle", timer).cancel()


def _somebody(serving: Serving, facts: RequestFacts) -> bool:
    """Whether there is a replica that does not leave, so that no other has to be started."""
    pools = serving.route.asked(facts.operation).pools
    return any([not endpoint.state.draining for pool in pools for endpoint in pool])  # noqa: C419 - compiled, it is faster


def _in_flight(serving: Serving, facts: RequestFacts) -> int:
    """Requests of ours wherever this one could go."""
    pools = serving.route.speakers[facts.operation].pools
    return sum([endpoint.state.in_flight_requests for pool in pools for endpoint in pool])
