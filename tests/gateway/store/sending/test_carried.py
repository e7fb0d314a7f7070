"""Records come out of the wire as they went in; those of an older worker too."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import astuple, fields

from gateway.accounts.record import AttemptRecord, RequestRecord
from gateway.accounts.shares import WrittenShares
from gateway.store.sending.carried import arrived, carried
from tests.gateway.store.records import Made

ORDER = [
    "time",
    "request_id",
    "record_id",
    "operation",
    "model",
    "status",
    "duration_ms",
    "stream",
    "engine",
    "replica",
    "arm",
    "upstream_model",
    "attempts",
    "error",
    "finish_reason",
    "ttft_ms",
    "tpot_ms",
    "overhead_ms",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "usage_source",
    "cost_usd",
    "key_id",
    "tenant",
    "trace_id",
    "queue_ms",
    "price_source",
    "service_tier",
    "response_id",
    "response_model",
    "system_fingerprint",
    "bundle",
    "input_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "cache_write_1h_tokens",
    "tries",
    "span_id",
    "parent_span_id",
    "sampled",
    "parameters",
]


def test_what_is_carried_arrives() -> None:
    tries = [AttemptRecord("llama", "a:1", "m", 1.0, 2.0, "answered", cost_usd=0.5)]
    made = Made()
    records = [made.one(), made.one(tries=tries, parameters={"temperature": 0.5}, queue_ms=3.0)]
    assert [astuple(one) for one in arrived(carried(records))] == [astuple(one) for one in records]


def test_shares_that_were_written_for_the_access_line_arrive_as_numbers() -> None:
    made, written = Made(), WrittenShares()
    given = [(0.95, 0.05), None, (0.95, 0.05), (1.0, 0.0), (1 / 3, 2 / 3)]
    records = [made.one(shares=None if shares is None else written.of(shares)) for shares in given]
    assert [one.shares for one in arrived(carried(records))] == given
    assert b'"shares":[0.95,0.05]' in msgspec.json.encode(records[0])
    assert [one.shares for one in arrived(carried([made.one(shares=(0.5, 0.5))]))] == [(0.5, 0.5)]


def test_fields_keep_their_places_and_new_ones_come_last() -> None:
    assert [field.name for field in fields(RequestRecord)][: len(ORDER)] == ORDER


def test_an_older_workers_record_ends_earlier() -> None:
    record = Made().one()
    (found,) = arrived(msgspec.msgpack.encode([astuple(record)[:20]]))
    assert astuple(found)[:20] == astuple(record)[:20]
    assert (found.usage_source, found.cost_usd, found.tries) == ("", None, None)


def test_a_newer_workers_record_goes_on() -> None:
    record = Made().one()
    assert astuple(arrived(msgspec.msgpack.encode([(*astuple(record), "more")]))[0]) == astuple(record)


@pytest.mark.parametrize("data", [b"", b"\xc1", msgspec.msgpack.encode([{"time": ""}]), msgspec.msgpack.encode([[1]])])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        arrived(data)
