"""What is taken to be charged for a lost call: what was sent, of what costs anything, and no more than it is."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from engines.errors import ConnectionLost, TotalTimeout
from engines.model import Deadlines, Operation
from gateway.accounts.lost import LARGE_BYTES, LEAST_BYTES, MOST_LOOKS, MOST_PICTURES, PICTURE_TOKENS, pictures_in
from gateway.accounts.prices import Rates, Row, Table, Tables
from gateway.accounts.record import RequestRecord
from routing.failing.hedging import HedgingSettings
from tests.gateway.flights import Bench, StepClock

ROW = Row(10**12, 0, 0, 10**12, 0, 0)
DOLLAR_A_TOKEN = Rates(Tables(Table((), (ROW,)), {}), "configured")
WINDOW = 1_000
NARROW = Rates(Tables(Table((), (ROW,)), {}, context_tokens=WINDOW), "configured")
PIXELS = base64.b64encode(random.Random(3).randbytes(300_000)).decode()
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXELS}"}}


def bench_of(now: StepClock, rates: Rates = DOLLAR_A_TOKEN, replicas: int = 1) -> Bench:
    bench = Bench(now, replicas, rates=rates, hedging=HedgingSettings(after_ms=500) if replicas > 1 else None)
    bench.gpu = False
    return bench


def record_of(bench: Bench) -> RequestRecord:
    (record,) = bench.ledger.records
    return record


def says(*content: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


def chunk(text: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()


def test_a_call_that_was_still_dialling_when_its_time_was_up_costs_nothing(now: StepClock) -> None:
    bench = bench_of(now)
    bench.begin(deadlines=Deadlines(total_s=2.0))
    bench.calls[0].written = False
    bench.calls[0].failed(TotalTimeout("no connection"))
    record = record_of(bench)
    assert (record.input_tokens, record.cost_usd, record.unpriced) == (None, None, False)


def test_one_that_was_sent_by_then_costs_its_prompt(now: StepClock) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(deadlines=Deadlines(total_s=2.0))
    bench.calls[0].failed(TotalTimeout("no answer"))
    assert record_of(bench).cost_usd == flight.facts.prompt_tokens > 0


@pytest.mark.parametrize("written", [False, True])
def test_a_client_that_leaves_pays_for_what_was_written(now: StepClock, written: bool) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin()
    bench.calls[0].written = written
    flight.client_gone()
    assert record_of(bench).cost_usd == (flight.facts.prompt_tokens if written else None)


@pytest.mark.parametrize(("unsent_share", "paid_share"), [(0.75, 0.25), (1.0, 0.0)])
@pytest.mark.parametrize("leaves", [False, True])
def test_a_request_that_is_cut_on_its_way_up_costs_what_has_left(
    now: StepClock, leaves: bool, unsent_share: float, paid_share: float
) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(messages=[{"role": "user", "content": "x" * 1000}])
    bench.calls[0].unsent_share = unsent_share
    if leaves:
        flight.client_gone()
    else:
        bench.calls[0].failed(TotalTimeout("no answer"))
    assert record_of(bench).cost_usd == (int(flight.facts.prompt_tokens * paid_share) or None)


@pytest.mark.parametrize("leaves", [False, True])
def test_a_free_operation_costs_nothing_when_it_is_lost(now: StepClock, leaves: bool) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(Operation.COUNT_TOKENS, stream=False, messages=[])
    if leaves:
        flight.client_gone()
    else:
        bench.calls[0].failed(ConnectionLost("closed"))
        if not flight.settled:
            flight.client_gone()
    record = record_of(bench)
    assert (record.input_tokens, record.cost_usd, record.unpriced) == (None, None, False)


def test_both_calls_of_a_hedge_whose_client_leaves_are_paid_for(now: StepClock) -> None:
    bench = bench_of(now, replicas=2)
    flight, _ = bench.begin()
    bench.loop.fire()
    flight.client_gone()
    record, prompt_tokens = record_of(bench), flight.facts.prompt_tokens
    assert record.tries is not None
    assert [(one.input_tokens, one.cost_usd) for one in record.tries] == [(prompt_tokens, float(prompt_tokens))] * 2
    assert (record.cost_usd, record.unpriced) == (2.0 * prompt_tokens, False)


@pytest.mark.parametrize("dials", [False, True])
def test_a_hedge_that_lost_costs_its_prompt_unless_it_dialled_still(now: StepClock, dials: bool) -> None:
    bench = bench_of(now, replicas=2)
    flight, _ = bench.begin()
    bench.loop.fire()
    bench.calls[0].written = not dials
    bench.calls[1].head()
    bench.calls[1].read(chunk("a"))
    flight.client_gone()
    record = record_of(bench)
    assert record.tries is not None
    lost, answered = record.tries
    assert lost.cost_usd == (None if dials else float(flight.facts.prompt_tokens))
    assert answered.cost_usd == flight.facts.prompt_tokens + 1.0


def test_the_first_of_a_hedge_is_paid_for_whose_second_cannot_be_written(now: StepClock) -> None:
    bench = bench_of(now, replicas=2)
    flight, _ = bench.begin()
    bench.engines[0].mistakes.append(RuntimeError("no such engine"))
    bench.loop.fire()
    record = record_of(bench)
    assert record.tries is not None
    assert record.tries[0].cost_usd == float(flight.facts.prompt_tokens)


def test_a_picture_that_is_lost_counts_as_a_picture_not_as_its_bytes(now: StepClock) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(**says(PICTURE, {"type": "text", "text": "What is it?"}))
    assert flight.facts.prompt_tokens > 100_000
    flight.client_gone()
    record = record_of(bench)
    assert record.input_tokens is not None
    assert PICTURE_TOKENS < record.input_tokens < PICTURE_TOKENS + 100
    assert record.cost_usd == record.input_tokens


def test_one_whose_stream_is_cut_counts_as_a_picture_though_the_prompt_is_let_go(now: StepClock) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(**says(PICTURE))
    bench.calls[0].head()
    bench.calls[0].read(chunk("a"), chunk("b"))
    assert flight.request.body == b""
    flight.client_gone()
    record = record_of(bench)
    assert record.input_tokens is not None
    assert PICTURE_TOKENS < record.input_tokens < PICTURE_TOKENS + 100
    assert (record.output_tokens, record.usage_source) == (2, "estimated")
    assert record.cost_usd == record.input_tokens + 2.0


@pytest.mark.parametrize("begins", [False, True])
def test_a_prompt_that_is_lost_counts_as_no_more_than_its_model_can_read(now: StepClock, begins: bool) -> None:
    bench = bench_of(now, NARROW)
    flight, _ = bench.begin(**says({"type": "text", "text": "word " * 40_000}))
    if begins:
        bench.calls[0].head()
        bench.calls[0].read(chunk("a"))
    flight.client_gone()
    assert record_of(bench).input_tokens == WINDOW


def body_of(*content: object) -> bytes:
    return json.dumps(says(*content), separators=(",", ":")).encode()


CLAUDES = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PIXELS}}
BACKWARDS = {"type": "image", "source": {"data": PIXELS, "media_type": "image/png", "type": "base64"}}
PROSE = {"type": "text", "text": "so base64 is no prose, " * 20_000}


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (body_of(PICTURE), 1),
        (body_of(PICTURE, PICTURE), 2),
        (body_of(CLAUDES), 1),
        (body_of(BACKWARDS, PROSE, CLAUDES), 2),
        (json.dumps(says(CLAUDES), indent=1).encode(), 1),
        (body_of({"type": "input_image", "image_url": f"data:image/png;base64,{PIXELS}"}), 1),
        (body_of(PROSE), 0),
        (body_of(DOCUMENT), 0),
        (body_of({"type": "input_audio", "input_audio": {"data": PIXELS, "format": "wav", "note": "base64"}}), 0),
        (body_of({"type": "text", "text": f"base64,{PIXELS}"}), 0),
        (body_of(PROSE, PICTURE), 1),
        (body_of({"type": "text", "text": PIXELS}), 0),
        (b"", 0),
    ],
)
def test_base64_is_told_from_text_in_every_clients_format(body: bytes, count: int) -> None:
    pictures, data_bytes = pictures_in(body)
    assert pictures == count
    assert count * len(PIXELS) <= data_bytes <= count * (len(PIXELS) + 100)


def test_a_text_that_names_base64_without_end_is_looked_at_so_many_times() -> None:
    """Each place took a look, 140,000 of them 45 ms."""
    looks = b"base64}" * MOST_LOOKS
    body = (
        b'{"a":"'
        + b"A" * LARGE_BYTES
        + looks
        + b" " * 200
        + b'"},{"b":"data:image/png;base64,'
        + b"A" * LEAST_BYTES
        + b'"}'
    )
    assert pictures_in(body)[0] == 0
    assert pictures_in(body.replace(looks, looks[:70]))[0] == 1


def test_what_looks_like_pictures_without_end_is_counted_up_to_a_number() -> None:
    pictures, data_bytes = pictures_in(
        b"data:image/png;base64,%b" % (b"A" * LEAST_BYTES + b'"image/png;base64,') * (MOST_PICTURES + 9)
    )
    assert pictures == MOST_PICTURES
    assert data_bytes <= MOST_PICTURES * (LEAST_BYTES + 40)
    assert pictures_in(b"image/base64" * LARGE_BYTES)[0] == 1
