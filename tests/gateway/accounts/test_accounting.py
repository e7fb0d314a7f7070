"""What a settled flight leaves in its record."""

from __future__ import annotations

import json

from engines.model import Operation
from tests.gateway.flights import Bench, StepClock


def test_tokens_written_to_the_cache_are_recorded(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin(Operation.MESSAGES, stream=False)
    usage = {
        "input_tokens": 4,
        "output_tokens": 2,
        "cache_creation_input_tokens": 9,
        "cache_read_input_tokens": 3,
    }
    body = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage}
    bench.calls[0].answer(200, json.dumps(body).encode())
    (record,) = bench.ledger.records
    assert (record.input_tokens, record.cached_tokens, record.cache_write_tokens) == (16, 3, 9)
    assert record.error == ""


def test_no_usage_writes_nothing_to_the_cache(now: StepClock) -> None:
    bench = Bench(now)
    flight, _ = bench.begin()
    flight.client_gone()
    (record,) = bench.ledger.records
    assert (record.input_tokens, record.cached_tokens, record.cache_write_tokens) == (None, 0, 0)
