"""The record of one copy. It names no key and no tenant: what a copy costs is the operator's, and no client's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engines.model import Usage
from gateway import clock
from gateway.accounts.costs import cost_usd, is_unknown
from gateway.accounts.lost import FREE, charged, lost_prompt_tokens, lost_usage, whole_usage
from gateway.accounts.reasons import in_short
from gateway.accounts.record import SHADOW, RequestRecord, note_more, shortened

if TYPE_CHECKING:
    from gateway.shadow.copy import Copy


def usage_of(copy: Copy) -> Usage | None:
    """What it used. Of a provider's call that was cut off or lost, the prompt is taken to be charged for."""
    attempt = copy.attempt
    assert attempt is not None
    usage = attempt.usage
    if attempt.content_events:
        usage = attempt.metered(lost_prompt_tokens(copy, attempt) if usage is None else 0)
    elif copy.error_kind:
        return lost_usage(copy, attempt)
    return whole_usage(copy, attempt, usage)


def unreported(copy: Copy) -> bool:
    """Whether it is charged for by the token, and nobody has told how many there were: its engine may have gone on."""
    attempt = copy.attempt
    if attempt is None or copy.operation in FREE or not charged(attempt):
        return False
    usage = attempt.usage
    if usage is None or usage.source != "reported" or usage.unsaid:
        return True
    return bool(copy.error_kind) and not attempt.finish_reason


def price(copy: Copy, usage: Usage | None) -> float | None:
    """What it costs; None where nobody knows."""
    if not copy.attempts or not copy.attempts[0].upstream.price_source:
        return None
    return cost_usd(copy.attempts, copy.attempt, usage, copy.finished_s)


def record_of(copy: Copy, usage: Usage | None, format_time: Callable[[float], str]) -> RequestRecord:
    """Of one that was sent, and is over."""
    attempt = copy.attempt
    assert attempt is not None
    upstream, endpoint = attempt.upstream, attempt.upstream.endpoint
    duration_s = copy.finished_s - attempt.dispatched_s
    record = RequestRecord(
        time=format_time(clock.wall() - duration_s),
        request_id=copy.record_id.decode(),
        record_id=copy.record_id.decode(),
        operation=copy.operation.value,
        model=copy.model,
        status=copy.answer_status,
        duration_ms=int(duration_s * 1e6) / 1e3,
        stream=copy.streams,
        engine=endpoint.engine,
        replica=endpoint.replica,
        arm=SHADOW,
        upstream_model=endpoint.model,
        attempts=1,
        error=copy.error_kind,
        reason=in_short(copy.reason),
        finish_reason=attempt.finish_reason,
        cost_usd=copy.cost_usd,
        price_source="" if copy.cost_usd is None else upstream.price_source,
        bundle=upstream.bundle,
        shadow_of=copy.original_id.decode(),
    )
    if copy.streams and attempt.first_byte_s:
        record.ttft_ms = int((attempt.first_byte_s - attempt.dispatched_s) * 1e6) / 1e3
        if usage is not None and usage.output_tokens > 1 and attempt.last_content_s:
            tpot_s = (attempt.last_content_s - attempt.first_byte_s) / (usage.output_tokens - 1)
            record.tpot_ms = int(tpot_s * 1e6) / 1e3
    if usage is not None:
        if usage.counts_tokens:
            record.input_tokens, record.output_tokens = usage.input_tokens, usage.output_tokens
        record.cached_tokens, record.cache_write_tokens = usage.cached_tokens, usage.cache_write_tokens
        record.reasoning_tokens, record.usage_source = usage.reasoning_tokens, usage.source
        record.service_tier = usage.tier
        note_more(record, usage)
    record.unpriced = copy.operation not in FREE and is_unknown(copy.attempts, attempt, usage, copy.finished_s)
    said = attempt.said
    if said is not None:
        record.response_id = shortened(said.id or "")
        record.system_fingerprint = shortened(said.system_fingerprint or "")
        if said.model != endpoint.model:
            record.response_model = shortened(said.model or "")
    return record
