"""Error answers, read so that they can be told to a client: what they say, of which type, and whether they may pass.

The shape that clients read is `{"error": {...}}`, which Anthropic's shares. FastAPI says `{"detail": "..."}`, or in
place of the text a list of what is wrong with which field, and RFC 9457 a `title` beside it; others say `message`;
Gemini puts the usual shape into a list; an event of Responses is flat, or has it in its `response`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from engines.wire.dialect import Finding, Refusal
from engines.wire.lone_surrogates import reading
from engines.wire.statuses import named_status

MAX_SAID = 500
"""Characters of a foreign error that are told."""
TOO_LONG: Final = ("context length", "context window", "prompt is too long", "input token count", "too many tokens")
"""How providers say, only in words, that a prompt does not fit."""
CONTEXT_LENGTH: Final = "context_length_exceeded"
"""OpenAI's code of that."""
UNSAID = "the engine reported an error"
NULL: Final = msgspec.Raw(b"null")
"""A member that is not there."""
ERROR_WITHIN_BYTES: Final = 1024
"""An answer that is an error says so early; a megabyte of embeddings is not searched for it."""
_STRING = rb'"(?:[^"\\]|\\.)*"'
_begins_an_error = re.compile(
    rb"\s*(?:\[\s*)?\{(?:\s*" + _STRING + rb"\s*:\s*(?:" + _STRING + rb'|[^\s{}\[\]",]+)\s*,)*\s*'
    rb'"(?:error"\s*:\s*(?:\{\s*"|\[\s*[^\s\]]|"[^"])|object"\s*:\s*"error")'
).match
_says_no_error = re.compile(rb'null|false|\{\s*\}|\[\s*\]|""|0').fullmatch


def read_error(status: int, body: bytes) -> Refusal:
    """Read an error answer with this status, whoever sent it."""
    answer = decoded(body)
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        error = answer["error"]
        return Refusal(
            message=_text(error.get("message")),
            type=_text(error.get("type")) or error_type(status),
            code=_code(error),
            native=True,
        )
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        answer = answer[0].get("error")
    elif isinstance(answer, dict) and isinstance(answer.get("response"), dict):
        answer = answer["response"].get("error")
    if not isinstance(answer, dict):
        return Refusal(message="", type=error_type(status))
    said = ""
    for key in ("message", "detail", "error", "title"):
        said = _text(answer.get(key))
        if said:
            break
    return Refusal(message=said, type=error_type(status), code=_code(answer))


def error_finding(data: bytes) -> Finding:
    """What an event, or the body of a 200, says that is known to be an error."""
    answer = decoded(data)
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return Finding(error=UNSAID)
    error = answer.get("error")
    if not error and isinstance(answer.get("response"), dict):
        error = answer["response"].get("error")
    if isinstance(error, dict):
        return Finding(error=_text(error.get("message")) or UNSAID, error_status=named_status(error, answer))
    return Finding(error=_text(error or answer.get("message")) or UNSAID, error_status=named_status(answer))


def stray_error(data: bytes) -> Finding | None:
    """The error in an event, or the body of a 200, of no shape that its format has; None when it is not one."""
    answer = decoded(data)
    if answer is None:  # cut short, or not UTF-8
        return Finding(error=UNSAID) if begins_an_error(data[:ERROR_WITHIN_BYTES]) else None
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if isinstance(answer, dict) and (answer.get("error") or answer.get("object") == "error"):
        return error_finding(data)
    return None


def is_truthy(raw: msgspec.Raw) -> bool:
    """Whether an `error` member says that there is one."""
    return raw is not NULL and _says_no_error(bytes(raw)) is None


def begins_an_error(beginning: bytes) -> bool:
    """Whether a document that begins so, of which the rest is not here, is an error: among its first members, before
    any that holds others, is an `error` that is not empty."""
    return _begins_an_error(beginning) is not None


def error_type(status: int) -> str:
    """OpenAI's type of an error that an engine told with this status, and without a type of its own."""
    if status >= 500:
        return "server_error"
    return "rate_limit_error" if status == 429 else "invalid_request_error"


def error_code(status: int, message: str) -> str:
    """OpenAI's code of an error of another format, where clients act on one; empty for none."""
    if status == 429:
        return "rate_limit_exceeded"
    if status in (400, 413, 422) and any(words in message.lower() for words in TOO_LONG):
        return CONTEXT_LENGTH
    return ""


def decoded(body: bytes) -> Any:
    """The document; None when it is none, or too deep."""
    try:
        return reading(msgspec.json.decode, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _code(error: dict[str, Any]) -> str:
    code = error.get("code")
    return str(code) if isinstance(code, (str, int)) else ""


def _text(said: object) -> str:
    if isinstance(said, (list, dict)) and said:
        said = msgspec.json.encode(said).decode()
    return said[:MAX_SAID] if isinstance(said, str) else ""
