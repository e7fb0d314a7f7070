"""From records to rows of `requests`, and from rows to the sums of `hourly` and `daily_keys`.

Tuples in the order of `COLUMNS`, built by hand: this is most of what the writer does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from gateway.accounts.record import RequestRecord
from gateway.store.packing import pack
from gateway.store.schema import AMOUNTS, IDENTITIES, LABELS, MEASURES, SMALL

COLUMNS: Final = ("id", *SMALL, *LABELS, *IDENTITIES, *AMOUNTS, "tries")
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MOST: Final = 2**53
"""No count of tokens is larger; what an engine says may be anything."""
MOST_USD: Final = 9e6
"""As nano-dollars it is below `MOST`."""

Row = tuple[Any, ...]
Cells = dict[tuple[int, ...], list[int]]


def row_of(record: RequestRecord, codes: Mapping[str, int]) -> Row:
    """`codes` has the number of each string. Raises ValueError for a record whose id is none."""
    identity = bytes.fromhex(record.record_id)
    if len(identity) != 16:
        raise ValueError("a record id has 32 hex digits")
    cost_usd = record.cost_usd
    request_id = record.request_id
    ttft_ms, tpot_ms, overhead_ms, queue_ms = record.ttft_ms, record.tpot_ms, record.overhead_ms, record.queue_ms
    input_tokens, output_tokens = record.input_tokens, record.output_tokens
    return (
        identity,
        record.status,
        1 if record.stream else 0,
        record.attempts,
        codes[record.operation],
        codes[record.model],
        codes[record.engine],
        codes[record.replica],
        codes[record.arm],
        codes[record.upstream_model],
        codes[record.error],
        codes[record.finish_reason],
        codes[record.usage_source],
        codes[record.key_id],
        codes[record.tenant],
        codes[record.price_source],
        codes[record.service_tier],
        codes[record.response_model],
        codes[record.system_fingerprint],
        codes[record.bundle],
        None if request_id == record.record_id else pack(request_id),
        pack(record.trace_id) if record.trace_id else None,
        pack(record.response_id),
        int(record.duration_ms * 1e3 + 0.5),
        None if ttft_ms is None else int(ttft_ms * 1e3 + 0.5),
        None if tpot_ms is None else int(tpot_ms * 1e3 + 0.5),
        None if overhead_ms is None else int(overhead_ms * 1e3 + 0.5),
        None if queue_ms is None else int(queue_ms * 1e3 + 0.5),
        input_tokens if input_tokens is None or input_tokens < MOST else MOST,
        output_tokens if output_tokens is None or output_tokens < MOST else MOST,
        (min(MOST, one)) if (one := record.cached_tokens) else None,
        (min(MOST, one)) if (one := record.cache_write_tokens) else None,
        (min(MOST, one)) if (one := record.reasoning_tokens) else None,
        None if cost_usd is None else int(cost_usd * 1e9 + 0.5) if cost_usd < MOST_USD else MOST,
        (min(MOST, one)) if (one := record.input_audio_tokens) else None,
        (min(MOST, one)) if (one := record.input_image_tokens) else None,
        (min(MOST, one)) if (one := record.output_audio_tokens) else None,
        (min(MOST, one)) if (one := record.output_image_tokens) else None,
        (min(MOST, one)) if (one := record.cache_write_1h_tokens) else None,
        msgspec.json.encode(record.tries) if record.tries is not None and len(record.tries) > 1 else None,
    )


def sums(rows: Iterable[Row], estimated: int) -> tuple[Cells, Cells]:
    """What these rows add to `hourly` and to `daily_keys`; `estimated` is the number of that usage source."""
    by_hour: Cells = {}
    by_day: Cells = {}
    for (
        identity,
        _status,
        _stream,
        attempts,
        _operation,
        model,
        engine,
        _replica,
        arm,
        upstream_model,
        error,
        _finish_reason,
        usage_source,
        key_id,
        tenant,
        _price_source,
        _service_tier,
        _response_model,
        _system_fingerprint,
        _bundle,
        _request_id,
        _trace_id,
        _response_id,
        duration_us,
        ttft_us,
        _tpot_us,
        _overhead_us,
        _queue_us,
        input_tokens,
        output_tokens,
        cached_tokens,
        cache_write_tokens,
        reasoning_tokens,
        cost_nanousd,
        *_,
    ) in rows:
        hour = int.from_bytes(identity[:6], "big") // HOUR_MS
        key = (hour, model, engine, upstream_model, arm, tenant)
        cell = by_hour.get(key)
        if cell is None:
            cell = by_hour[key] = [0] * len(MEASURES)
        daily_key = (hour // 24, key_id, tenant, model, engine, upstream_model, arm)
        daily = by_day.get(daily_key)
        if daily is None:
            daily = by_day[daily_key] = [0] * len(MEASURES)
        for sum_of in (cell, daily):
            sum_of[0] += 1
            if error:
                sum_of[1] += 1
            if cost_nanousd is not None:
                sum_of[9] += cost_nanousd
            elif attempts:
                sum_of[2] += 1
            if usage_source == estimated:
                sum_of[3] += 1
            if input_tokens is not None:
                sum_of[4] += input_tokens
                sum_of[5] += output_tokens or 0
                if cached_tokens:
                    sum_of[6] += cached_tokens
                if cache_write_tokens:
                    sum_of[7] += cache_write_tokens
                if reasoning_tokens:
                    sum_of[8] += reasoning_tokens
            sum_of[10] += duration_us
            if ttft_us is not None:
                sum_of[11] += ttft_us
                sum_of[12] += 1
    return by_hour, by_day
