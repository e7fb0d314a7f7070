"""What a stream's usage event says, and what is counted where there is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.model import Operation
from engines.sse import split
from gateway.accounts.prices import Rates, Row, Table, Tables
from tests.engines.wire.frames import Json, frame
from tests.gateway.flights import Bench, StepClock
from tests.gateway.relayed import ASKED, DONE, ERROR, FINISH, USAGE, chunk, metered, relayed

pytestmark = pytest.mark.usefixtures("now")


def priced(usage: Json, **members: object) -> bytes:
    """The usage event as it reaches a client who asked, of a model at one dollar a token."""
    bench = Bench(StepClock())
    flight, client = bench.begin(**ASKED)
    assert flight.attempt is not None
    flight.attempt.upstream.rates = Rates(Tables(Table((), (Row(10**12, 0, 0, 10**12, 0, 0),)), {}), "configured")
    bench.calls[0].head()
    bench.calls[0].done(chunk(), FINISH, frame({"choices": [], "usage": usage, **members}), DONE)
    return split(client.body)[2]


def test_the_price_of_the_answer_is_in_the_usage_event() -> None:
    event = json.loads(priced({"prompt_tokens": 2, "completion_tokens": 3})[6:])
    assert event == {"choices": [], "usage": {"cost_usd": 5.0, "prompt_tokens": 2, "completion_tokens": 3}}


def test_a_usage_of_nothing_stays_valid_json() -> None:
    assert json.loads(priced({})[6:]) == {"choices": [], "usage": {}}


def test_the_gpus_share_of_every_attempt_is_in_the_usage_event(now: StepClock) -> None:
    bench = Bench(now, 2)  # at a dollar a second
    flight, client = bench.begin(**ASKED)
    bench.calls[0].head()
    now.now_s += 2.0
    bench.calls[0].read(ERROR)
    bench.calls[1].head()
    bench.calls[1].read(chunk(), FINISH)
    now.now_s += 3.0
    bench.calls[1].done(USAGE, DONE)
    assert json.loads(split(client.body)[2][6:])["usage"]["cost_usd"] == 5.0
    assert flight.cost_usd == 5.0


def test_a_client_that_leaves_before_the_usage_is_metered_by_the_pieces_it_had() -> None:
    bench = Bench(StepClock())
    flight, client = bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(chunk(""))
    for text in ("a", "b", "c"):
        bench.calls[0].read(chunk(text), chunk(text))
    before = flight.tokens.output_tokens()
    flight.client_gone()
    assert metered(bench) == (flight.facts.prompt_tokens, 6, "estimated", "client_gone")
    assert (client.status, bench.ledger.records[0].status) == (200, 499)
    assert flight.tokens.output_tokens() == before


def test_what_an_engine_reported_of_a_cut_answer_is_kept_and_its_output_is_counted() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin(Operation.MESSAGES)
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}}
    delta = frame({"type": "content_block_delta", "delta": {"text": "a"}}, name="content_block_delta")
    bench.calls[0].head()
    bench.calls[0].read(frame(start, name="message_start"), delta, delta, delta)
    flight.client_gone()
    assert metered(bench) == (11, 3, "estimated", "client_gone")


def test_what_an_engine_reports_is_not_estimated() -> None:
    _, bench = relayed([chunk("a")] * 9, [FINISH, USAGE, DONE])
    assert metered(bench) == (11, 7, "reported", "")


def test_a_stream_whose_engine_never_reports_is_metered_too() -> None:
    _, bench = relayed([chunk("a")] * 9, [FINISH, DONE])
    assert metered(bench)[1:] == (9, "estimated", "")


def test_a_stream_without_content_used_nothing_that_is_known() -> None:
    _, bench = relayed([ERROR])
    assert metered(bench) == (None, None, "", "engine_500")


@pytest.mark.parametrize("usage", [[], 7, {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": []}])
@pytest.mark.parametrize("choices", [[], None])
def test_a_usage_event_that_nobody_asked_for_stays_hidden_whatever_its_shape(usage: Any, choices: Any) -> None:
    client, _ = relayed([chunk()], [FINISH, frame({"id": "c1", "choices": choices, "usage": usage}), DONE])
    assert client.body == chunk() + FINISH + DONE
