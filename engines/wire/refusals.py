"""Error answers, read so that they can be told to a client: what they say, of which type, and whether they may pass.

The shape that clients read is `{"error": {...}}`, which Anthropic's shares. FastAPI says `{"detail": "..."}`, or in
place of the text a list of what is wrong with which field; others say `message`; Gemini puts the usual shape into a
list.
"""

from __future__ import annotations

import msgspec

from engines.wire.dialect import Refusal

MAX_SAID = 500
"""Characters of a foreign error that are told."""


def read_error(status: int, body: bytes) -> Refusal:
    """Read an error answer with this status, whoever sent it."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        error = answer["error"]
        code = error.get("code")
        return Refusal(
            message=_text(error.get("message")),
            type=_text(error.get("type")) or error_type(status),
            code=str(code) if isinstance(code, (str, int)) else "",
            native=True,
        )
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        answer = answer[0].get("error")
    said = ""
    if isinstance(answer, dict):
        for key in ("message", "detail", "error"):
            said = _text(answer.get(key))
            if said:
                break
    return Refusal(message=said, type=error_type(status))


def error_type(status: int) -> str:
    """OpenAI's type of an error that an engine told with this status, and without a type of its own."""
    if status >= 500:
        return "server_error"
    return "rate_limit_error" if status == 429 else "invalid_request_error"


def _text(said: object) -> str:
    if isinstance(said, (list, dict)) and said:
        said = msgspec.json.encode(said).decode()
    return said[:MAX_SAID] if isinstance(said, str) else ""
