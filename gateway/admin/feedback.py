"""POST `/v1/feedback`: what an application tells of an answer afterwards. For every key, of its own tenant's requests.

    {"record_id": "…" or "request_id": "…", "metric": "thumbs_up", "value": true,
     "comment": "…", "demonstration": "…", "idempotency_key": "…"}

Only the first three are needed. Where the request was part of an experiment, its gate hears of it, as of the arm that
the request was assigned, however late it comes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway import clock
from gateway.errors import Failure
from gateway.identity import Keyring, Principal
from gateway.settings import Settings
from gateway.store.feedback.messages import MOST_VALUE, FeedbackGiven, GiveFeedback
from gateway.wildcard_names import is_wildcard

PATH: Final = "/v1/feedback"
MOST_BYTES: Final = 256 * 1024
MOST_ID: Final = 256
TRIES: Final = 5
AGAIN_S: Final = 0.2
"""A record takes a moment from its answer into the store, and whoever was answered may be quicker."""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    metric: str
    value: bool | float
    record_id: str = ""
    request_id: str = ""
    comment: str = ""
    demonstration: str = ""
    idempotency_key: str = ""


_decode: Final = msgspec.json.Decoder(_Body).decode


class KeepsFeedback(Protocol):
    """Keeps it: `gateway.control.feedback.Feedback`."""

    def wait_s(self, key_id: str, metric: str, per_minute: int) -> float:
        """0 where this key may tell something, which counts; else in how many seconds it may."""

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        """Keep it, and let gates know."""


class TakesFeedback(Protocol):
    """Who has a store, keys and settings."""

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""

    @property
    def settings(self) -> Settings:
        """The settings in use."""

    @property
    def feedback(self) -> KeepsFeedback:
        """Who keeps it."""


def feedback_route(
    gateway: TakesFeedback, *, again_s: float = AGAIN_S
) -> tuple[str, str, Callable[[Request], Awaitable[Response]]]:
    """Method, path and handler."""

    async def feedback(request: Request) -> Response:
        principal = gateway.keyring.admit(dict(request.scope["headers"]))
        given = _given(await request.body(), principal, gateway.settings)
        per_minute = gateway.settings.feedback.per_minute
        wait_s = gateway.feedback.wait_s(principal.key_id, given.metric, per_minute)
        if wait_s:
            said = f"this key may tell {per_minute} times a minute (feedback.per_minute), and has"
            raise Failure("too_much_feedback", said, retry_after_s=wait_s)
        for at in range(TRIES):
            if at:
                await asyncio.sleep(again_s)
            told = await gateway.feedback.give(msgspec.structs.replace(given, again=at > 0))
            if told.problem != "unknown":
                break
        return _answer(told, given)

    return "POST", PATH, feedback


def _given(body: bytes, principal: Principal, settings: Settings) -> GiveFeedback:
    """What is given. Raises Failure where it makes no sense."""
    if len(body) > MOST_BYTES:
        raise Failure("body_too_large", f"feedback holds at most {MOST_BYTES // 1024} KiB")
    try:
        told = _decode(body)
    except msgspec.ValidationError as error:
        raise Failure("invalid_field", f"the feedback cannot be read: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Failure("invalid_json", "the body is no JSON") from None
    if bool(told.record_id) == bool(told.request_id):
        raise Failure("invalid_field", "name the request by `record_id`, or else by `request_id`", "record_id")
    for name in ("record_id", "request_id", "idempotency_key"):
        if len(getattr(told, name)) > MOST_ID:
            raise Failure("invalid_field", f"`{name}` has at most {MOST_ID} characters", name)
    limits = settings.feedback
    for name, most in (("comment", limits.comment_bytes), ("demonstration", limits.demonstration_bytes)):
        if len(getattr(told, name).encode("utf-8", "replace")) > most:
            raise Failure("body_too_large", f"`{name}` has at most {most} bytes (feedback.{name}_bytes)", name)
    return GiveFeedback(
        principal.tenant,
        principal.key_id,
        told.record_id.lower(),
        told.request_id,
        told.metric,
        _value(told, settings),
        told.comment.replace("\0", ""),
        told.demonstration.replace("\0", ""),
        told.idempotency_key.replace("\0", ""),
        int(clock.wall() * 1e3),
        {name: model.records.redact or "" for name, model in settings.models.items() if model.records.content},
        _worse(told, settings),
        limits.per_record,
        list(settings.models) if any(map(is_wildcard, settings.models)) else [],
    )


def _value(told: _Body, settings: Settings) -> float:
    metrics = settings.feedback.metrics
    metric = metrics.get(told.metric)
    if metric is None:
        there = f"there is {', '.join(metrics)}" if metrics else "the configuration declares none (feedback.metrics)"
        raise Failure("invalid_field", f"there is no metric {told.metric[:64]!r}; {there}", "metric")
    if isinstance(told.value, bool) != (metric.type == "boolean"):
        right = "true or false" if metric.type == "boolean" else "a number"
        raise Failure("invalid_field", f"the value of {told.metric!r} is {right}", "value")
    if not math.isfinite(told.value):
        raise Failure("invalid_field", "`value` is no finite number", "value")
    if abs(told.value) > MOST_VALUE:
        raise Failure("invalid_field", f"`value` is at most {MOST_VALUE:g}, and at least {-MOST_VALUE:g}", "value")
    return float(told.value)


def _worse(told: _Body, settings: Settings) -> bool | None:
    metric = settings.feedback.metrics[told.metric]
    return bool(told.value) == (metric.better == "lower") if metric.type == "boolean" else None


def _answer(told: FeedbackGiven, given: GiveFeedback) -> Response:
    match told.problem:
        case "unknown":
            named = "record_id" if given.record_id else "request_id"
            what = "no request has this id, or it is not yours"
            raise Failure("request_not_found", f"{what}; the answer's headers have it (x-penstock-record-id)", named)
        case "ambiguous":
            several = "several requests of the last 30 days have this id; name the one by its record_id"
            raise Failure("ambiguous_request", several, "request_id")
        case "another":
            used = "this idempotency key was used for other feedback"
            raise Failure("idempotency_conflict", used, "idempotency_key")
        case "no_contents":
            off = f"the model {told.model!r} keeps no contents, so no comment and no demonstration (records.content)"
            raise Failure("invalid_field", off, "comment" if given.comment else "demonstration")
        case "full":
            raise Failure("feedback_full", "this request has as much feedback as it may (feedback.per_record)")
        case "away":
            raise Failure("store_away", f"feedback cannot be stored now: {told.why}")
    document: dict[str, Any] = {"object": "feedback", "record_id": told.record_id, "model": told.model}
    document |= {"metric": given.metric, "value": given.value, "arm": told.arm or None}
    return JSONResponse({**document, "repeated": told.repeated, "withheld": told.withheld})
