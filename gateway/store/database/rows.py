"""From records to rows of `requests`, and from rows to the sums of `hourly` and `daily_keys`.

Tuples in the order of `COLUMNS`, built by hand: this is most of what the writer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gateway.accounts.record import RequestRecord
from gateway.store.database.packing import pack
from gateway.store.database.schema import AMOUNTS, ASSIGNED, IDENTITIES, LABELS, MEASURES, SMALL

COLUMNS: Final = (
    "id",
    *SMALL,
    *LABELS,
    *IDENTITIES,
    *AMOUNTS,
    "tries",
    *ASSIGNED,
    "unit",
    "shadow_of",
    "unpriced",
    "units",
)
UNPRICED: Final = COLUMNS.index("unpriced")
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MOST: Final = 2**40
"""No count of tokens is larger; what an engine says may be anything. Eight million of them fit into a sum."""
MOST_NANOUSD: Final = 2**44
MOST_USD: Final = MOST_NANOUSD / 1e9
"""No request costs more than these 17,592 dollars; half a million of them fit into a sum."""

Row = tuple[Any, ...]
Cells = dict[tuple[int, ...], list[int]]


def row_of(record: RequestRecord, codes: Mapping[str, int]) -> Row:
    """`codes` has the number of each string. Raises ValueError for a record whose id is none."""
    record_id = record.record_id
    identity = bytes.fromhex(record_id)
    if len(identity) != 16:
        raise ValueError("a record id has 32 hex digits")
    request_id, trace_id, response_id = record.request_id, record.trace_id, record.response_id
    ttft_ms, tpot_ms = record.ttft_ms, record.tpot_ms
    overhead_ms, queue_ms = record.overhead_ms, record.queue_ms
    input_tokens, output_tokens = record.input_tokens, record.output_tokens
    cost_usd, tries, shares = record.cost_usd, record.tries, record.shares
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
        None if request_id == record_id else pack(request_id),
        pack(trace_id) if trace_id else None,
        pack(response_id) if response_id else None,
        int(record.duration_ms * 1e3 + 0.5),
        None if ttft_ms is None else int(ttft_ms * 1e3 + 0.5),
        None if tpot_ms is None else int(tpot_ms * 1e3 + 0.5),
        None if overhead_ms is None else int(overhead_ms * 1e3 + 0.5),
        None if queue_ms is None else int(queue_ms * 1e3 + 0.5),
        input_tokens if input_tokens is None or input_tokens < MOST else MOST,
        output_tokens if output_tokens is None or output_tokens < MOST else MOST,
        # Of an optional kind, none are not kept.
        _most(record.cached_tokens) if record.cached_tokens else None,
        _most(record.cache_write_tokens) if record.cache_write_tokens else None,
        _most(record.reasoning_tokens) if record.reasoning_tokens else None,
        None if cost_usd is None else nanousd(cost_usd),
        _most(record.input_audio_tokens) if record.input_audio_tokens else None,
        _most(record.input_image_tokens) if record.input_image_tokens else None,
        _most(record.output_audio_tokens) if record.output_audio_tokens else None,
        _most(record.output_image_tokens) if record.output_image_tokens else None,
        _most(record.cache_write_1h_tokens) if record.cache_write_1h_tokens else None,
        msgspec.json.encode(tries) if tries is not None and len(tries) > 1 else None,
        codes[record.experiment] if record.experiment else 0,
        0 if shares is None else codes[",".join([repr(share) for share in shares])],
        bytes.fromhex(record.unit) if record.unit else None,
        bytes.fromhex(record.shadow_of) if record.shadow_of else None,
        1 if record.unpriced else 0,
        msgspec.json.encode(record.units) if record.units else None,
    )


class Moved(NamedTuple):
    """What is summed up as the cost of another engine's model than the one that answered: the texts are numbers."""

    identity: bytes
    engine: int
    upstream_model: int
    cost_nanousd: int


def moved(record: RequestRecord, codes: Mapping[str, int]) -> list[Moved]:
    """What attempts cost that were not the answer, for whom they were sent to, and what that leaves for whom answered.

    Nothing where the request had one attempt, or all of them the same engine and model.
    """
    tries = record.tries
    if tries is None or len(tries) < 2 or record.cost_usd is None:
        return []
    own = record.engine, record.upstream_model
    left = nanousd(record.cost_usd)
    costs: dict[tuple[str, str], int] = {}
    for one in tries:
        whose = one.engine, one.upstream_model
        if one.cost_usd and whose != own:
            cost = min(left, nanousd(one.cost_usd))  # each is rounded for itself
            left -= cost
            costs[whose] = costs.get(whose, 0) + cost
    if not costs:
        return []
    costs[own] = -sum(costs.values())
    identity = bytes.fromhex(record.record_id)
    return [Moved(identity, codes[engine], codes[model], cost) for (engine, model), cost in costs.items()]


def nanousd(usd: float) -> int:
    return int(usd * 1e9 + 0.5) if usd < MOST_USD else MOST_NANOUSD


def _most(tokens: int) -> int:
    return min(MOST, tokens)


def sums(rows: Sequence[Row], elsewhere: Sequence[Moved], estimated: int) -> tuple[Cells, Cells]:
    """What these rows add to `hourly` and to `daily_keys`; `estimated` is the number of that usage source, `elsewhere`
    what of their cost is another's.

    Rows are added up once, by hour and key, and those sums into both.
    """
    by_hour: Cells = {}
    by_day: Cells = {}
    for key, cell in _fine(rows, elsewhere, estimated).items():
        hour, model, engine, upstream_model, arm, tenant, key_id = key
        _add(by_hour, (hour, model, engine, upstream_model, arm, tenant), cell)
        _add(by_day, (hour // 24, key_id, tenant, model, engine, upstream_model, arm), cell)
    return by_hour, by_day


def _add(cells: Cells, key: tuple[int, ...], more: list[int]) -> None:
    cell = cells.get(key)
    cells[key] = more if cell is None else [one + another for one, another in zip(cell, more, strict=True)]


def _fine(rows: Sequence[Row], elsewhere: Sequence[Moved], estimated: int) -> Cells:
    """Sums by hour, model, engine, upstream model, arm, tenant and key."""
    cells: Cells = {}
    if elsewhere:
        whole = {row[0]: row for row in rows}
        for identity, engine, upstream_model, moved_nanousd in elsewhere:
            row = whole[identity]
            hour = int.from_bytes(identity[:6], "big") // HOUR_MS
            key = (hour, row[5], engine, upstream_model, row[8], row[14], row[13])
            cell = cells.get(key)
            if cell is None:
                cell = cells[key] = [0] * len(MEASURES)
            cell[9] += moved_nanousd
    for row in rows:
        hour = int.from_bytes(row[0][:6], "big") // HOUR_MS
        key = (hour, row[5], row[6], row[9], row[8], row[14], row[13])
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = [0] * len(MEASURES)
        cell[0] += 1
        if row[10]:
            cell[1] += 1
        cost_nanousd = row[33]
        if cost_nanousd is not None:
            cell[9] += cost_nanousd
        if row[UNPRICED]:
            cell[2] += 1
        if row[12] == estimated:
            cell[3] += 1
        input_tokens = row[28]
        if input_tokens is not None:
            cell[4] += input_tokens
            cell[5] += row[29] or 0
            cell[6] += row[30] or 0
            cell[7] += row[31] or 0
            cell[8] += row[32] or 0
        cell[10] += row[23]
        ttft_us = row[24]
        if ttft_us is not None:
            cell[11] += ttft_us
            cell[12] += 1
    return cells
