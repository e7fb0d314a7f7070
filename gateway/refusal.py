"""An engine's refusal, read so that it can be told to a client: what it says, of which type, and when to try again."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import msgspec

from gateway import clock
from routing.outcome import Outcome


def error_said(body: bytes) -> str | None:
    """What an error answer says, to be put into our own shape; None when it has the shape that clients read already.

    That shape is `{"error": {...}}`, which Anthropic's shares. FastAPI says `{"detail": "..."}`, or in place of the
    text a list of what is wrong with which field; others say `message`; Gemini puts the usual shape into a list.
    """
    try:
        answer = msgspec.json.decode(body)
        if isinstance(answer, list) and answer and isinstance(answer[0], dict):
            answer = answer[0].get("error")
        elif isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            return None
        if not isinstance(answer, dict):
            return ""
        for key in ("message", "detail", "error"):
            said = answer.get(key)
            if isinstance(said, (list, dict)) and said:
                said = msgspec.json.encode(said).decode()
            if isinstance(said, str):
                return f": {said[:500]}"
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    return ""


def outcome_of_not_found(body: bytes, model: str) -> Outcome:
    """Whose a 404 or 405 is, asked for upstream model `model`.

    One that names the model is the target's: its name is wrong there. One without an error object is the engine's: no
    such route. Any other (an unknown `previous_response_id`) is the client's.
    """
    if error_said(body) is not None:
        return Outcome.UNSPOKEN
    try:
        error = msgspec.json.decode(body)["error"]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Outcome.ANSWERED
    said = error.get("message")
    if error.get("code") == "model_not_found" or (isinstance(said, str) and model in said):
        return Outcome.UNKNOWN_MODEL
    return Outcome.ANSWERED


def error_type(status: int) -> str:
    """OpenAI's type of an error that an engine told with this status, and without a type of its own."""
    if status >= 500:
        return "server_error"
    return "rate_limit_error" if status == 429 else "invalid_request_error"


def parse_retry_after(value: bytes) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3): a number, or a date from now."""
    text = value.decode("latin-1").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - clock.wall()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), 86_400.0) if seconds == seconds else None
