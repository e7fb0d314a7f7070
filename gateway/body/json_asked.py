"""Whether a request asks for its answer as JSON, by the member that its format has for that: prose that says so is
prose. Read of the requests that drift hears a sample of alone.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engines.wire.lone_surrogates import reading

MOST_BYTES: Final = 1024 * 1024
"""A larger body is not read for it: that would hold the loop for milliseconds."""
KINDS: Final = ("json_schema", "json_object")
_SIGNS: Final = tuple(f'"{kind}"'.encode() for kind in KINDS)


class Format(msgspec.Struct):
    type: str = ""


class Formatted(msgspec.Struct):
    format: Format | None = None


class Asking(msgspec.Struct):
    response_format: Format | None = None
    """Of chats and completions."""
    text: Formatted | None = None
    """Of responses."""
    output_config: Formatted | None = None
    """Of messages; `output_format` in its first version."""
    output_format: Format | None = None


decode = msgspec.json.Decoder(Asking).decode


def asks_json(body: bytes) -> bool:
    """False of a body that cannot be read."""
    if len(body) > MOST_BYTES or not any(sign in body for sign in _SIGNS):
        return False
    try:
        asked = reading(decode, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    nested = [one.format for one in (asked.text, asked.output_config) if one is not None]
    formats = (asked.response_format, asked.output_format, *nested)
    return any(one is not None and one.type in KINDS for one in formats)
