"""Whose turn is next of those that wait for one model: by priority, and among equals by start-time fair queueing over
tenants. Each is served in proportion to tokens, whoever sends more waits longer, and one who was idle has some
requests saved up and no more (Goyal, Vin and Cheng, "Start-time Fair Queueing", 1996; the fairness of deficit round
robin without its quantum, at log n a request).

A tenant pays for what went, and not for what it asked for: only the first request of each has a tag, which the next one
takes over when that is withdrawn. So whoever gives up has taken nothing from those of its tenant that stay.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from routing.facts import RequestFacts

if TYPE_CHECKING:
    from routing.waiting.admission import Admission
    from routing.waiting.first_token import FirstToken

SAVED_UP_TOKENS: Final = 65_536
"""Of its share a tenant may have left unused and take at once: some fifty requests. Who asks for less than its share
comes in bursts all the same, and would wait behind a flood for what it has not used: with 8,192, one that wants .48 of
a fleet 3.0 times as long as beside one that keeps to its half; with these, 1.2 times (`penstock simulate-admission`,
on whose seeds this number was chosen)."""
TURNS_KEPT: Final = 4096
"""Tenants remembered that do not wait while others do. Of more, those that are least ahead of the rest are forgotten
first, and start with the rest if they come again; one that waits never is."""


class Ticket:
    """One request in the line."""

    __slots__ = (
        "comments",
        "deadline_s",
        "facts",
        "first",
        "held",
        "line",
        "order",
        "owner",
        "since_s",
        "takes_s",
        "tenant",
        "timer",
        "tokens",
        "waits",
    )

    def __init__(self, facts: RequestFacts, owner: object, now: float, deadline_s: float, takes_s: float = 0.0) -> None:
        self.facts = facts
        self.owner = owner
        """Whoever offered it; the line only hands it back."""
        self.since_s = now
        self.deadline_s = deadline_s
        """When it is no longer worth waiting."""
        self.takes_s = takes_s
        """How long it will take once it goes; 0 where nobody knows."""
        self.tenant = facts.tenant
        self.tokens = facts.prompt_tokens + facts.output_tokens
        self.waits = True
        self.first: FirstToken | None = None
        """When its first token is due, where `deadline_s` is for that."""
        self.held = False
        """Whether it waits for the first replica to come, and not for room."""
        self.line: Admission | None = None
        """The one that it stands in."""
        self.order = 0
        """Higher than that of everybody who came before."""
        self.timer: object = None
        """The owner's, for the end of its time."""
        self.comments: object = None
        """The owner's, for the next word to its client."""


class Turn:
    """What waits of one tenant in one priority, in the order in which it came, and where the first of it stands."""

    __slots__ = ("listed", "priority", "start", "tickets", "tokens")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()
        self.tokens = 0
        """Of all those."""
        self.start = 0.0
        """The tag of the first of them; where nobody waits, of the next that comes."""
        self.listed = False
        """Whether it has its entry in the heap, which one whose tickets have left may still have."""


class Turns:
    """Everybody who waits. Owned by one thread."""

    __slots__ = ("_gone", "_heap", "_kept", "_order", "_turns", "_virtual")

    def __init__(self, kept: int = TURNS_KEPT) -> None:
        """`kept`: how many tenants that do not wait are remembered."""
        self._kept = kept
        self._heap: list[tuple[int, float, int, Turn]] = []
        """Whose turn comes when: one entry for each tenant and priority."""
        self._gone = 0
        """How many of these nobody waits in, at most."""
        self._turns: dict[tuple[int, str], Turn] = {}
        self._virtual: dict[int, float] = {}
        """By priority: the highest start tag that was served."""
        self._order = 0

    def clear(self) -> None:
        """Nobody waits: what was served is forgotten."""
        self._gone = 0
        self._heap.clear()
        self._turns.clear()
        self._virtual.clear()

    def add(self, ticket: Ticket) -> None:
        """It waits from now on."""
        priority = ticket.facts.priority
        key = priority, ticket.tenant
        turn = self._turns.get(key)
        if turn is None:
            if len(self._turns) - len(self._heap) >= self._kept:
                self._forget()
            turn = self._turns[key] = Turn(priority)
        self._order += 1
        ticket.order = self._order
        turn.tickets[ticket] = None
        turn.tokens += ticket.tokens
        if not turn.listed:
            turn.start = max(turn.start, self._saved_up(priority))
            self._list(turn)

    def remove(self, ticket: Ticket) -> None:
        """It leaves, and nothing of its tenant's goes later for it. It must wait."""
        turn = self._turns[ticket.facts.priority, ticket.tenant]
        del turn.tickets[ticket]
        turn.tokens -= ticket.tokens
        if not turn.tickets:
            self._gone += 1
            if 2 * self._gone > len(self._heap) + 64:
                self._tidy()

    def first(self) -> Ticket | None:
        """The one whose turn is next; None when nobody waits."""
        heap = self._heap
        while heap:
            turn = heap[0][3]
            if turn.tickets:
                return next(iter(turn.tickets))
            heapq.heappop(heap)
            turn.listed = False
        return None

    def take(self) -> Ticket | None:
        """The same, which goes: its tenant pays for it."""
        ticket = self.first()
        if ticket is None:
            return None
        turn = heapq.heappop(self._heap)[3]
        start, priority = turn.start, turn.priority
        del turn.tickets[ticket]
        turn.tokens -= ticket.tokens
        turn.start = start + ticket.tokens
        if turn.tickets:
            self._list(turn)
        else:
            turn.listed = False
        self._virtual[priority] = max(start, self._virtual.get(priority, 0.0))
        return ticket

    def near(self, most: int) -> list[Ticket]:
        """So many of those whose turn is next, in order: of as many tenants at most, and of each as many."""
        found: list[tuple[int, float, int, Ticket]] = []
        for band, tag, _, turn in heapq.nsmallest(most, self._heap):
            for ticket in islice(turn.tickets, most):
                found.append((band, tag, ticket.order, ticket))
                tag += ticket.tokens
        found.sort()
        return [entry[3] for entry in found[:most]]

    def pass_by(self, ticket: Ticket) -> None:
        """It goes though it is not its turn, to where those before it may not. Its tenant pays, and nobody waits for
        it. It must wait."""
        turn = self._turns[ticket.facts.priority, ticket.tenant]
        del turn.tickets[ticket]
        turn.tokens -= ticket.tokens
        turn.start += ticket.tokens
        self._heap = [entry for entry in self._heap if entry[3] is not turn]
        heapq.heapify(self._heap)
        turn.listed = False
        if turn.tickets:
            self._list(turn)

    def before(self, facts: RequestFacts) -> list[Ticket]:
        """Those that would go before one that came now, in order."""
        priority = facts.priority
        turn = self._turns.get((priority, facts.tenant))
        if turn is None:
            start = max(0.0, self._saved_up(priority))
        else:
            start = turn.start + turn.tokens if turn.listed else max(turn.start, self._saved_up(priority))
        place = -priority, start, self._order + 1
        found: list[tuple[int, float, int, Ticket]] = []
        for band, tag, _, other in self._heap:
            for ticket in other.tickets:
                if (band, tag, ticket.order) >= place:
                    break
                found.append((band, tag, ticket.order, ticket))
                tag += ticket.tokens
        found.sort()
        return [entry[3] for entry in found]

    def __iter__(self) -> Iterator[Ticket]:
        """All of them, in no order."""
        return iter([ticket for _, _, _, turn in self._heap for ticket in turn.tickets])

    def _saved_up(self, priority: int) -> float:
        """Where one stands at the earliest that comes now."""
        return self._virtual.get(priority, 0.0) - SAVED_UP_TOKENS

    def _list(self, turn: Turn) -> None:
        turn.listed = True
        heapq.heappush(self._heap, (-turn.priority, turn.start, next(iter(turn.tickets)).order, turn))

    def _tidy(self) -> None:
        """Take those out of the heap that nobody waits in."""
        waiting = []
        for entry in self._heap:
            if entry[3].tickets:
                waiting.append(entry)
            else:
                entry[3].listed = False
        heapq.heapify(waiting)
        self._heap, self._gone = waiting, 0

    def _forget(self) -> None:
        """Half of those that do not wait."""
        idle = [
            (turn.start - self._virtual.get(key[0], 0.0), key) for key, turn in self._turns.items() if not turn.listed
        ]
        idle.sort()
        for _, key in idle[: len(idle) // 2]:
            del self._turns[key]
