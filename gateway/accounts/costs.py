"""What the attempts of one request cost together: the GPU time of each, and the price of what each is known to use.

None is unknown, which is never zero. What is charged for a call that was cut off or lost: `gateway.accounts.lost`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.accounts.lost import FREE, charged
from gateway.accounts.record import AttemptRecord, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engines.model import Usage
    from gateway.attempt import Attempt
    from gateway.flight import Flight

PICO: Final = 1e12
_PICO: Final = 10**12
ANSWERED: Final = "answered"
ABANDONED: Final = "abandoned"


def is_unknown(attempts: Sequence[Attempt], answering: Attempt, usage: Usage | None, now: float) -> bool:
    """Whether there is one that was answered (2xx), or is charged for, and of whose cost a part at least is unknown."""
    for attempt in attempts:
        answered = 200 <= attempt.status < 300
        if answered or charged(attempt):
            used = usage if attempt is answering else attempt.usage
            unsaid = answered and used is None and attempt.upstream.rates is not None
            if unsaid or (attempt_cost_usd(attempt, used, now) is None and (answered or used is not None)):
                return True
    return False


def cost_usd(
    attempts: Sequence[Attempt], answering: Attempt | None, usage: Usage | None, now: float, least: bool = False
) -> float | None:
    """Of all of them until `now`, to the picodollar, in which prices are counted.

    `usage` is that of the one `answering`; the others' is their own. With `least`, an attempt of whose cost a part is
    unknown counts with the rest of it: a budget must not see nothing where something is known.
    """
    total: float | None = None
    for attempt in attempts:
        cost = attempt_cost_usd(attempt, usage if attempt is answering else attempt.usage, now, least)
        if cost is not None:
            total = cost if total is None else total + cost
    return None if total is None else int(total * PICO + 0.5) / PICO


def in_digits(cost: float) -> bytes:
    """US dollars to the picodollar. What Python takes to print a float as short as may be costs four times as much."""
    pico = int(cost * PICO + 0.5)
    digits = b"%d" % (
        _PICO + pico % _PICO
    )  # a one before the twelve keeps their zeros; a width costs ten times as much
    return b"%d.%b" % (pico // _PICO, digits[1:])


def attempt_cost_usd(attempt: Attempt, usage: Usage | None, now: float, least: bool = False) -> float | None:
    """Of one of them, over or not; None where a part of it is unknown, but with `least` the rest."""
    cost = attempt.gpu_cost_so_far_usd(now)
    rates = attempt.upstream.rates
    if rates is not None and usage is not None:
        said = attempt.said
        if said is not None and said.model and said.model != attempt.upstream.model:
            rates = rates.answering(said.model)
        priced = rates.cost_usd(usage, least)
        return None if priced is None else priced + (cost or 0.0)
    return cost


def attempt_records(flight: Flight, usage: Usage | None) -> list[AttemptRecord]:
    """Each attempt of a settled flight; `usage` is the one of the answer."""
    return [
        _record(flight, attempt, usage if attempt is flight.attempt else attempt.usage) for attempt in flight.attempts
    ]


def _record(flight: Flight, attempt: Attempt, usage: Usage | None) -> AttemptRecord:
    endpoint = attempt.upstream.endpoint
    cost, unpriced = attempt_cost_usd(attempt, usage, flight.finished_s), False
    if cost is None and flight.operation not in FREE:
        unpriced = is_unknown([attempt], attempt, usage, flight.finished_s)
        cost = attempt_cost_usd(attempt, usage, flight.finished_s, True) or None
    began_s, dispatched_s = attempt.first_byte_s, attempt.dispatched_s
    outcome = ANSWERED if began_s else ABANDONED
    if attempt.outcome is not None:
        outcome = attempt.outcome.value
    one = AttemptRecord(
        endpoint.engine,
        endpoint.replica,
        attempt.upstream.model,
        milliseconds(dispatched_s - flight.received_s),
        milliseconds(attempt.ended_s - dispatched_s),
        outcome,
        attempt.status,
        milliseconds(began_s - dispatched_s) if began_s else None,
        cost_usd=cost,
        unpriced=unpriced,
    )
    if usage is not None:
        if usage.counts_tokens:
            one.input_tokens, one.output_tokens = usage.input_tokens, usage.output_tokens
        one.cached_tokens, one.cache_write_tokens = usage.cached_tokens, usage.cache_write_tokens
        one.reasoning_tokens, one.usage_source = usage.reasoning_tokens, usage.source
    said = attempt.said
    if said is not None:
        one.response_id = shortened(said.id or "")
        if said.model != attempt.upstream.model:
            one.response_model = shortened(said.model or "")
    if attempt.span_id:
        one.span_id, one.address = attempt.span_id.decode(), attempt.upstream.address
    return one


def milliseconds(seconds: float) -> float:
    """With three decimals."""
    return int(seconds * 1e6) / 1e3
