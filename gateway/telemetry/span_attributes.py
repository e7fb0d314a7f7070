"""What a span is called and says: the names of OpenTelemetry's GenAI conventions v1.41, pinned in one place.

The conventions are still in development and rename. A request has two kinds of span: ours of the whole request, as a
server's, and one for each attempt, as a client's of an engine. What the model did is said on the attempt's, so that
whoever adds up `gen_ai.usage.*` counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.model import Operation
from gateway.accounts.costs import ANSWERED
from gateway.accounts.record import AttemptRecord, RequestRecord
from gateway.telemetry.metrics import OTHER

OPERATION_NAMES = {
    Operation.CHAT.value: "chat",
    Operation.RESPONSES.value: "chat",
    Operation.MESSAGES.value: "chat",
    Operation.COMPLETIONS.value: "text_completion",
    Operation.EMBEDDINGS.value: "embeddings",
    # The conventions know no names for these; they allow own ones.
    Operation.RESPONSE.value: "response",
    Operation.RESPONSE_CANCEL.value: "cancel_response",
    Operation.COUNT_TOKENS.value: "count_tokens",
    Operation.RERANK.value: "rerank",
    Operation.SCORE.value: "score",
    Operation.POOLING.value: "pooling",
    Operation.CLASSIFY.value: "classify",
    Operation.TOKENIZE.value: "tokenize",
    Operation.DETOKENIZE.value: "detokenize",
    Operation.TRANSCRIPTIONS.value: "transcription",
    Operation.TRANSLATIONS.value: "translation",
    Operation.SPEECH.value: "speech",
    Operation.IMAGES.value: "image_generation",
    Operation.IMAGE_EDITS.value: "image_edit",
}
PROVIDER_NAMES = {"mistral": "mistral_ai", "xai": "x_ai"}
"""Where our name of a provider is not `gen_ai.provider.name`'s."""
PARAMETER_NAMES = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
UNKNOWN = "HTTP"
"""A span of a request that was refused before anybody read what it asks; the HTTP conventions call it so."""

Attributes = dict[str, str | int | float | list[str]]


@dataclass(frozen=True, slots=True)
class Conventions:
    """The names that differ between versions of the GenAI conventions, as far as we emit them."""

    schema_url: str | None
    cache_write: str


V1_41 = Conventions("https://opentelemetry.io/schemas/1.41.0", "gen_ai.usage.cache_creation.input_tokens")
# semantic-conventions-genai has tagged no release, hence no schema URL.
LATEST = Conventions(None, "gen_ai.usage.cache_write.input_tokens")


def request_name(record: RequestRecord) -> str:
    """Of the whole request: what was asked of which model, as far as both are known."""
    operation = OPERATION_NAMES.get(record.operation)
    if operation is None:
        return UNKNOWN
    return operation if record.model == OTHER else f"{operation} {record.model}"


def attempt_name(record: RequestRecord, attempt: AttemptRecord) -> str:
    return f"{OPERATION_NAMES.get(record.operation, record.operation)} {attempt.upstream_model}"


def request_attributes(record: RequestRecord) -> Attributes:
    """Of the whole request."""
    known = record.model != OTHER
    return _known(
        {
            "gen_ai.operation.name": OPERATION_NAMES.get(record.operation),
            "gen_ai.request.model": record.model if known else None,
            "gen_ai.request.stream": record.stream or None,
            "error.type": record.error or None,
            "http.route": record.operation if record.operation != OTHER else None,
            "http.response.status_code": record.status,
            "penstock.request_id": record.request_id or None,
            "penstock.record_id": record.record_id or None,
            "penstock.model": record.model if known else None,
            "penstock.engine": record.engine or None,
            "penstock.replica": record.replica or None,
            "penstock.arm": record.arm or None,
            "penstock.attempts": record.attempts,
            "penstock.overhead": _seconds(record.overhead_ms),
            "penstock.queue": _seconds(record.queue_ms),
            "penstock.cost_usd": record.cost_usd,
            "penstock.key_id": record.key_id or None,
            "penstock.tenant": record.tenant or None,
        }
    )


def attempt_attributes(
    record: RequestRecord, attempt: AttemptRecord, number: int, provider: str, conventions: Conventions
) -> Attributes:
    """Of its attempt with this number, the first is 0, at an engine of this provider."""
    answered = attempt.outcome == ANSWERED
    host, _, port = attempt.address.rpartition(":")
    attributes: dict[str, str | int | float | list[str] | None] = {
        "gen_ai.operation.name": OPERATION_NAMES.get(record.operation, record.operation),
        "gen_ai.provider.name": PROVIDER_NAMES.get(provider, provider),
        "gen_ai.request.model": attempt.upstream_model,
        "gen_ai.request.stream": record.stream or None,
        "gen_ai.usage.input_tokens": attempt.input_tokens,
        "gen_ai.usage.output_tokens": attempt.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": attempt.cached_tokens or None,
        conventions.cache_write: attempt.cache_write_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": attempt.reasoning_tokens or None,
        "error.type": error_type(record, attempt),
        "http.request.resend_count": number or None,
        "http.response.status_code": attempt.status or None,
        "server.address": host.strip("[]") or attempt.address or None,
        "server.port": int(port) if host and port.isdigit() else None,
        "penstock.request_id": record.request_id,
        "penstock.record_id": record.record_id,
        "penstock.engine": attempt.engine,
        "penstock.replica": attempt.replica,
        "penstock.usage_source": attempt.usage_source or None,
        "penstock.cost_usd": attempt.cost_usd,
    }
    for name, value in (record.parameters or {}).items():
        attributes[PARAMETER_NAMES[name]] = value
    if answered:
        attributes |= {
            "gen_ai.response.id": record.response_id or None,
            "gen_ai.response.model": record.response_model or (record.upstream_model if record.response_id else None),
            "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
            "gen_ai.response.time_to_first_chunk": _seconds(attempt.ttft_ms) if record.stream else None,
            "openai.response.system_fingerprint": record.system_fingerprint or None,
            "openai.response.service_tier": record.service_tier or None,
            "penstock.time_per_output_token": _seconds(record.tpot_ms),
        }
    return _known(attributes)


def error_type(record: RequestRecord, attempt: AttemptRecord) -> str | None:
    """How an attempt failed; that another was faster is no failure."""
    if attempt.outcome == ANSWERED:
        return record.error or None
    return attempt.outcome


def _known(attributes: Mapping[str, str | int | float | list[str] | None]) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000.0
