"""Large requests in formats that change under them, in any order of turns, answers, failures, hedges and clients that
leave: each is recorded once, and nothing is left over."""

from __future__ import annotations

import random

import pytest

from engines.errors import ConnectionLost
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.cohere import codec as cohere
from tests.gateway.flights import JSON, Bench, FakeExchange, StepClock
from tests.gateway.relayed import DONE, ERROR, FINISH, USAGE, chunk
from tests.gateway.test_placing import AFTER, NOBODYS, ONE, endpoints, in_flight, sharing, speaks
from tests.gateway.test_preparing import MANY, InTurns, turned

LARGE = MANY[:600]
FORMATS = (InTurns(), cohere.EGRESS, anthropic_messages.EGRESS)
STEPS = 400
REFUSED = b'{"error": {"message": "no"}}'


def goes_on(call: FakeExchange, dice: random.Random, begun: set[int]) -> None:
    """Something happens at an engine."""
    if id(call) in begun:
        dice.choice(
            (
                lambda: call.read(chunk()),
                lambda: call.done(FINISH, USAGE, DONE),
                lambda: call.failed(ConnectionLost("reset")),
            )
        )()
        return
    begun.add(id(call))
    what = dice.randrange(4)
    if what == 0:
        call.failed(ConnectionLost("reset"))
    elif what == 1:
        call.answer(dice.choice((400, 404, 429, 500, 503)), REFUSED, JSON)
    else:
        call.head()
        call.read(ERROR if what == 2 else chunk())


def happens(bench: Bench, dice: random.Random, begun: set[int]) -> None:
    """One step of the world."""
    chance = dice.random()
    if chance < 0.75:
        bench.loop.turn()
    elif chance < 0.81 and bench.loop.waiting:
        bench.loop.fire()
    elif chance < 0.86:
        speaks(bench, dice.choice(endpoints(bench)), dice.choice(FORMATS))
    elif calls := [call for call in bench.calls if call.open]:
        goes_on(dice.choice(calls), dice, begun)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_each_is_recorded_once_and_nothing_is_left(now: StepClock, seed: int) -> None:
    dice = random.Random(seed)
    formats = [dice.choice(FORMATS) for _ in range(3)]
    waits = dice.random() < 0.4
    bench = sharing(now, *formats, hedging=AFTER, **({"admission": ONE} if waits else {}))
    ends = [[NOBODYS] if dice.random() < 0.2 else [] for _ in range(2 if waits else 1)]
    flights = [bench.begin(messages=[*LARGE, *end])[0] for end in ends]
    begun: set[int] = set()
    for _ in range(STEPS):
        happens(bench, dice, begun)
        if dice.random() < 0.005:
            dice.choice(flights).client_gone()
        now.now_s += dice.random() * 0.1
        assert all(flight.placing is None for flight in flights if flight.settled)
    for flight in flights:
        flight.client_gone()
    turned(bench)
    assert (bench.outstanding(), in_flight(bench)) == ({}, [0, 0, 0])
    assert len(bench.ledger.records) == len(flights)
    assert sum(record.attempts for record in bench.ledger.records) == len(bench.calls)
    assert not any(call.open for call in bench.calls)
