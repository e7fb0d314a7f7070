"""Whose requests are copied, and each reason for which one is not: nothing is left taken whatever it is."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engines.errors import (
    ConnectFailed,
    ConnectionLost,
    FirstByteTimeout,
    IdleTimeout,
    NoConnectionFree,
    TotalTimeout,
)
from engines.model import Operation
from gateway.accounts.prices import Rates, Row, Table, Tables
from gateway.body.envelope import parse
from gateway.errors import Failure
from gateway.explanation.explainer import Explainer
from gateway.http.request import Request
from gateway.identity import Principal
from gateway.incoming import Incoming
from gateway.record_ids import RecordIds
from gateway.settings.sections.recording import Recording
from gateway.settings.sections.shadow import ShadowSection
from gateway.shadow.flight import ShadowedFlight
from gateway.shadow.shadow import Shadow, Shadows
from gateway.telemetry.exposition import render
from tests.gateway.flights import JSON, Bench, FakeConnection, StepClock
from tests.gateway.relayed import DONE, FINISH, USAGE, answer, chunk

SECTION: dict[str, Any] = {"share": 1, "targets": [{"engine": "t0", "model": "up", "tier": 0}]}
PRICED = Rates(Tables(Table((), (Row(10**9, 0, 0, 10**9, 0, 0),)), {}), "configured")
"""A tenth of a cent for each token."""


class Refuses:
    def apply(self, body: bytes, facts: object) -> bytes:
        raise Failure("invalid_field", "no")


class Pair:
    """A model, and the shadow that gets its copies, each on a bench of its own."""

    def __init__(
        self, clock: StepClock, *, workers: int = 1, bench: dict[str, Any] | None = None, **section: Any
    ) -> None:
        self.clock = clock
        self.model, self.shade = Bench(clock), Bench(clock, **(bench or {}))
        self.soon: list[Callable[[], None]] = []
        self.busy = False
        accounting = self.model.ledger.accounting
        self.shadows = Shadows(
            self.model.metrics,
            accounting,
            RecordIds(),
            lambda: self.busy,
            self.soon.append,
            drain_s=0.0,
            rng=random.Random(7),
        )
        settings = ShadowSection.model_validate({**SECTION, **section})
        self.shadow = Shadow("m", settings, Recording(), self.shade.serving, self.shadows, workers)

    def begin(self, stream: bool = True, fields: dict[bytes, bytes] | None = None, **members: Any) -> ShadowedFlight:
        """A request that is to be copied, and the turn after it."""
        body = json.dumps({"model": "m", "stream": stream, **members}).encode()
        operation = Operation.CHAT
        request = Request(FakeConnection(), b"POST", "1.1", operation.value.encode(), b"", [], fields or {}, body, True)
        model = self.model
        flight = ShadowedFlight(model.incoming(request, operation), model.here, Explainer(str), self.shadow)
        flight.begin()
        self.turn()
        return flight

    def incoming(self, fields: dict[bytes, bytes] | None = None, **members: Any) -> Incoming:
        """A request of ALICE's that may be taken."""
        body = json.dumps({"model": "m", **members}).encode()
        request = Request(FakeConnection(), b"POST", "1.1", b"/", b"", [], fields or {}, body, True)
        parsed = parse(body)
        return Incoming(request, Operation.CHAT, b"", b"%032x" % 1, ALICE, parsed, self.model.serving, self.clock.now_s)

    def turn(self) -> None:
        soon, self.soon[:] = list(self.soon), []
        for call in soon:
            call()

    def counted(self) -> dict[str, float]:
        """What was counted of copies that is not 0, by result or reason."""
        found = {}
        for line in render(self.model.metrics.snapshot()).decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("penstock_shadow_") and float(value):
                found[name.partition("{")[0].removeprefix("penstock_shadow_") + name.rpartition("=")[2]] = float(value)
        return found

    def finish(self, *flights: ShadowedFlight) -> None:
        """The clients leave; then nothing may be left of them or of their copies."""
        for flight in flights:
            flight.client_gone()
        asyncio.run(self.shadows.drain(0.0))
        assert (self.model.outstanding(), self.shade.outstanding()) == ({}, {})
        assert self.shadows.books.held.bytes == 0
        assert self.shadows.of("m").count == 0


def dropped(reason: str) -> dict[str, float]:
    return {f'dropped_total"{reason}"}}': 1.0}


def test_a_copy_is_sent_in_the_turn_after_its_request_and_read_to_its_end(now: StepClock) -> None:
    pair = Pair(now)
    flight = pair.begin(max_tokens=5)
    (original,), (copy,) = pair.model.calls, pair.shade.calls
    assert json.loads(copy.body)["max_tokens"] == 5
    assert b"x-request-id: " in copy.headers
    assert b"req-1" not in copy.headers
    copy.head()
    copy.read(chunk())
    now.now_s += 0.5
    copy.done(FINISH, USAGE, DONE)
    assert not original.ended
    (record,) = pair.model.ledger.records
    assert (record.shadow_of, record.arm, record.status, record.duration_ms) == (f"{1:032x}", "~shadow", 200, 500.0)
    assert (record.input_tokens, record.output_tokens, record.finish_reason) == (11, 7, "stop")
    # The meter of the shadow's replica counts a US dollar a second.
    assert pair.counted() == {'requests_total"answered"}': 1.0, 'cost_usd_total"m"}': 0.5}
    pair.finish(flight)


@pytest.mark.parametrize("ends", ["refused", "error", "broken"])
def test_however_a_copy_fails_it_is_told_to_no_breaker_and_is_not_tried_again(now: StepClock, ends: str) -> None:
    pair = Pair(now, bench={"breaker": None})
    flights = []
    for _ in range(12):
        flights.append(pair.begin())
        copy = pair.shade.calls[-1]
        if ends == "refused":
            copy.failed(ConnectFailed("refused"))
        elif ends == "error":
            copy.answer(500, b"{}")
        else:
            copy.head()
            copy.read(chunk())
            copy.failed(ConnectFailed("gone"))
    assert len(pair.shade.calls) == 12
    assert pair.counted() == {'requests_total"failed"}': 12.0}
    assert all(state.breaker.closed and state.failed_until_s == 0.0 for state in pair.shade.table)
    pair.finish(*flights)


def test_a_request_that_waits_or_was_refused_is_not_copied(now: StepClock) -> None:
    pair = Pair(now)
    for state in pair.model.table:
        state.healthy, state.draining = False, True
    pair.finish(pair.begin())
    assert pair.counted() == dropped("not_sent")


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("load", lambda pair: setattr(pair, "busy", True)),
        ("memory", lambda pair: pair.shadows.books.held.hold(128 * 1024 * 1024)),
        ("draining", lambda pair: setattr(pair.shadows, "draining", True)),
        ("no_replica", lambda pair: setattr(next(iter(pair.shade.table)), "draining", True)),
        ("no_replica", lambda pair: setattr(next(iter(pair.shade.table)), "healthy", False)),
        ("refused", lambda pair: setattr(pair.shade.serving, "request_transforms", (Refuses(),))),
        ("unsupported", lambda pair: setattr(pair.shade.serving, "route", replace(pair.shade.route, speakers={}))),
    ],
)
def test_each_reason_is_counted_and_leaves_nothing_behind(
    now: StepClock, reason: str, change: Callable[[Pair], object]
) -> None:
    pair = Pair(now)
    change(pair)
    before = pair.shadows.books.held.bytes
    flight = pair.begin()
    assert pair.shade.calls == []
    assert pair.counted() == dropped(reason)
    assert len(pair.model.calls) == 1
    pair.shadows.books.held.release(before)
    pair.finish(flight)


@pytest.mark.parametrize("ends", ["answered", "failed", "given up"])
def test_a_body_of_its_own_is_counted_until_the_answer_begins(now: StepClock, ends: str) -> None:
    pair = Pair(now)
    held = pair.shadows.books.held
    flight = pair.begin()
    (call,) = pair.shade.calls
    assert call.body != flight.request.body  # the model's name is another there
    assert held.bytes == len(flight.request.body) + len(call.body)
    if ends == "answered":
        call.head()
        call.read(chunk())
    elif ends == "failed":
        call.failed(ConnectFailed("refused"))
    else:
        pair.shadows.give_way(pair.shade.serving)
    assert held.bytes == 0
    pair.finish(flight)


def test_a_copy_that_there_is_room_for_only_as_it_came_is_not_sent(now: StepClock) -> None:
    pair = Pair(now)
    held = pair.shadows.books.held
    others = held._bound_bytes - 50
    assert held.hold(others)
    flight = pair.begin()
    assert len(flight.request.body) < 50
    assert (pair.shade.calls, pair.counted(), held.bytes) == ([], dropped("memory"), others)
    held.release(others)
    pair.finish(flight)


def test_whom_a_request_is_from_is_known_from_when_it_was_read_first(now: StepClock) -> None:
    pair = Pair(now, unit="user")
    asked = pair.incoming(user="u")
    asked.request.body = b"not read again"
    assert pair.shadow.takes(asked)
    assert not pair.shadow.takes(pair.incoming())


def test_as_many_copies_run_as_may_and_each_worker_has_one_at_least(now: StepClock) -> None:
    pair = Pair(now, concurrency=3, workers=8)
    flights = [pair.begin(), pair.begin()]
    assert pair.counted() == {**dropped("concurrency"), 'in_flight"m"}': 1.0}
    pair.finish(*flights)


def test_the_budget_puts_aside_what_a_limit_allows_and_takes_what_was_used(now: StepClock) -> None:
    # 12 tokens of the prompt's estimate and 90 of the limit at most; then 11 and 7, as the engine says.
    pair = Pair(now, bench={"rates": PRICED}, cost_per_hour_usd=0.15)
    for meter in pair.shade.meters.values():
        meter._usd_per_s = 0.0
    flight = pair.begin(stream=False, max_tokens=90)
    assert pair.shadows.of("m").budget.spent_usd(now.now_s) == pytest.approx(0.001 * (flight.facts.prompt_tokens + 90))
    other = pair.begin(stream=False, max_tokens=90)
    assert pair.counted() == {**dropped("budget"), 'in_flight"m"}': 1.0}
    pair.shade.calls[0].answer(200, answer())
    assert pair.shadows.of("m").budget.spent_usd(now.now_s) == pytest.approx(0.018)
    assert pair.model.ledger.records[0].cost_usd == pytest.approx(0.018)
    third = pair.begin(stream=False, max_tokens=90)
    assert len(pair.shade.calls) == 2
    pair.finish(flight, other, third)


@pytest.mark.parametrize(
    ("ends", "spent_tokens", "billed_tokens"),
    [
        ("timeout", 90, 0),
        ("silence", 90, 0),
        ("lost", 90, 0),
        ("given up", 90, 0),
        ("cut", 90, 1),
        ("untold", 90, None),
        ("half told", 90, 4),
        ("refused", None, None),
        ("error", None, None),
        ("busy", None, None),
    ],
)
def test_the_budget_takes_all_that_was_put_aside_where_nobody_has_told_what_was_used(
    now: StepClock, ends: str, spent_tokens: int | None, billed_tokens: int | None
) -> None:
    pair = Pair(now, bench={"rates": PRICED}, cost_per_hour_usd=1.0)
    for meter in pair.shade.meters.values():
        meter._usd_per_s = 0.0
    flight = pair.begin(stream=ends == "cut", max_tokens=90)
    (call,) = pair.shade.calls
    match ends:
        case "timeout":
            call.failed(TotalTimeout("no end"))
        case "silence":
            call.head(200, JSON)
            call.failed(FirstByteTimeout("no beginning"))
        case "lost":
            call.failed(ConnectionLost("gone"))
        case "given up":
            pair.shadows.give_way(pair.shade.serving)
        case "cut":
            call.head()
            call.read(chunk())
            call.failed(IdleTimeout("no end"))
        case "untold":
            call.answer(200, b'{"choices": [{"finish_reason": "stop"}]}')
        case "half told":
            call.answer(200, b'{"choices": [{"finish_reason": "stop"}], "usage": {"completion_tokens": 4}}')
        case "refused":
            call.failed(ConnectFailed("refused"))
        case "error":
            call.answer(500, b"{}")
        case "busy":
            call.failed(NoConnectionFree("none"))
    prompt_tokens = flight.facts.prompt_tokens
    spent_usd = 0.0 if spent_tokens is None else 0.001 * (prompt_tokens + spent_tokens)
    assert pair.shadows.of("m").budget.spent_usd(now.now_s) == pytest.approx(spent_usd)
    billed_usd = 0.0 if billed_tokens is None else 0.001 * (prompt_tokens + billed_tokens)
    assert (pair.model.ledger.records[0].cost_usd or 0.0) == pytest.approx(billed_usd)
    pair.finish(flight)


class Enlarges:
    """As `params` of a shadow do."""

    def apply(self, body: bytes, facts: object) -> bytes:
        return json.dumps({**json.loads(body), "max_tokens": 500, "n": 2, "system": "x" * 4000}).encode()


def test_the_budget_puts_aside_what_the_shadows_own_parameters_allow(now: StepClock) -> None:
    pair = Pair(now, bench={"rates": PRICED}, cost_per_hour_usd=10.0)
    for meter in pair.shade.meters.values():
        meter._usd_per_s = 0.0
    pair.shade.serving.request_transforms = (Enlarges(),)
    flight = pair.begin(stream=False, max_tokens=1)
    body = Enlarges().apply(flight.request.body, None)
    assert json.loads(pair.shade.calls[0].body)["max_tokens"] == 500
    prompt_tokens = pair.shade.route.tokens.prompt_tokens(len(body))
    assert prompt_tokens > 1000 > flight.facts.prompt_tokens
    assert pair.shadows.of("m").budget.spent_usd(now.now_s) == pytest.approx(0.001 * (prompt_tokens + 2 * 500))
    pair.finish(flight)


def test_what_a_shadows_own_parameters_make_of_a_body_is_refused_where_it_is_no_request(now: StepClock) -> None:
    class Breaks:
        def apply(self, body: bytes, facts: object) -> bytes:
            return b'{"model": "m", "max_tokens": {}'

    pair = Pair(now)
    pair.shade.serving.request_transforms = (Breaks(),)
    flight = pair.begin()
    assert (pair.shade.calls, pair.counted()) == ([], dropped("refused"))
    pair.finish(flight)


@pytest.mark.parametrize(
    ("headers", "body", "pause_s"),
    [
        (((b"retry-after", b"60"),), b"{}", 60.0),
        (((b"retry-after", b"86400"),), b"{}", 600.0),
        ((), b'{"error": {"code": "insufficient_quota"}}', 10.0),
    ],
)
def test_a_429_to_a_copy_stops_copies_and_leaves_the_key_to_clients(
    now: StepClock, headers: tuple[tuple[bytes, bytes], ...], body: bytes, pause_s: float
) -> None:
    pair = Pair(now)
    (engine,) = pair.shade.engines
    engine.keyed = engine.tells_limits = True
    limits = ((b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-limit-requests", b"9"))
    resets = ((b"x-ratelimit-reset-requests", b"60s"),)
    flights = [pair.begin()]
    pair.shade.calls[0].answer(429, body, (*JSON, *headers, *limits, *resets))
    (state,) = pair.shade.table
    assert (state.scarce_until_s, state.limited_until_s, state.aside_until_s) == (0.0, 0.0, 0.0)
    assert state.available(now.now_s)
    now.now_s += pause_s - 0.5
    flights.append(pair.begin())
    assert len(pair.shade.calls) == 1
    assert pair.counted() == {**dropped("limited"), 'requests_total"failed"}': 1.0}
    now.now_s += 0.5
    flights.append(pair.begin())
    assert len(pair.shade.calls) == 2
    pair.finish(*flights)


def test_where_nobody_knows_the_price_a_budget_lets_only_own_engines_be_asked(now: StepClock) -> None:
    for kind, counted in (("openai", dropped("unpriced")), ("vllm", {'in_flight"m"}': 1.0})):
        pair = Pair(now, cost_per_hour_usd=1.0)
        pair.shade.meters.clear()
        pair.shade.meters.update(dict.fromkeys([state.key for state in pair.shade.table]))  # type: ignore[arg-type]
        pair.shade.engines[0].kind = kind
        flight = pair.begin()
        assert pair.counted() == counted
        flight.client_gone()
        asyncio.run(pair.shadows.drain(0.0))


def test_copies_leave_the_replicas_that_a_client_waits_for_and_no_others(now: StepClock) -> None:
    pair = Pair(now)
    flight = pair.begin()
    assert not pair.shadows.give_way(pair.model.serving)
    assert pair.shadows.give_way(pair.shade.serving)
    assert pair.shade.calls[0].aborted
    assert pair.counted() == {'requests_total"given_up"}': 1.0}
    assert (pair.model.ledger.records[0].status, pair.model.ledger.records[0].error) == (499, "overloaded")
    pair.finish(flight)


ALICE = Principal("app", "shop")


@pytest.mark.parametrize(
    ("sample", "taken"),
    [
        ({}, True),
        ({"keys": ["app"], "tenants": ["shop"], "headers": {"X-Region": "eu"}}, True),
        ({"keys": ["other"]}, False),
        ({"tenants": ["other"]}, False),
        ({"headers": {"x-region": "us"}}, False),
        ({"operations": ["embeddings"]}, False),
    ],
)
def test_a_sample_is_of_those_who_fulfil_all_of_it(now: StepClock, sample: dict[str, Any], taken: bool) -> None:
    pair = Pair(now, sample=sample)
    assert taken is pair.shadow.takes(pair.incoming({b"x-region": b"eu"}))


def test_a_request_that_names_no_unit_is_not_copied_and_a_long_one_only_where_that_may_be(now: StepClock) -> None:
    pair = Pair(now, unit="header:x-customer", sample={"max_prompt_tokens": 50})
    assert not pair.shadow.takes(pair.incoming())
    assert pair.shadow.takes(pair.incoming({b"x-customer": b"c1"}))
    flight = pair.begin(messages=[{"role": "user", "content": "x" * 4000}])
    assert (pair.shade.calls, pair.counted()) == ([], {})
    pair.finish(flight)


class Mistaken:
    def apply(self, body: bytes, facts: object) -> bytes:
        raise KeyError("odd")


def test_a_mistake_in_a_copy_gives_back_what_was_taken_for_it(now: StepClock) -> None:
    pair = Pair(now, bench={"request_transforms": (Mistaken(),)})
    flight = pair.begin()
    assert pair.counted() == dropped("refused")
    pair.finish(flight)


def test_a_mistake_while_a_copy_is_sent_gives_back_what_was_taken_for_it(now: StepClock) -> None:
    pair = Pair(now)
    pair.shade.engines[0].mistakes.append(KeyError("odd"))
    flight = pair.begin()
    assert pair.counted() == dropped("refused")
    pair.finish(flight)
