"""The sampling parameters of a request, for its spans. A parse of its own, made where a span is."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.wire.lone_surrogates import reading

LARGEST_BYTES: Final = 256 * 1024
"""A larger body is not parsed again: at 1 ms a MiB its parameters would be felt by every stream."""
NULL: Final = msgspec.Raw(b"null")


class _Asked(msgspec.Struct):
    max_tokens: msgspec.Raw = NULL
    max_completion_tokens: msgspec.Raw = NULL
    max_output_tokens: msgspec.Raw = NULL
    temperature: msgspec.Raw = NULL
    top_p: msgspec.Raw = NULL
    top_k: msgspec.Raw = NULL
    frequency_penalty: msgspec.Raw = NULL
    presence_penalty: msgspec.Raw = NULL
    seed: msgspec.Raw = NULL
    n: msgspec.Raw = NULL


_decode = msgspec.json.Decoder(_Asked).decode
_decode_number = msgspec.json.Decoder(int | float).decode


def parameters_of(body: bytes) -> dict[str, int | float] | None:
    """Those that are numbers, by the names of OpenAI's API; a limit is `max_tokens` whatever it is called there.

    None where there are none.
    """
    if len(body) > LARGEST_BYTES:
        return None
    try:
        asked = reading(_decode, body)
    except (msgspec.DecodeError, RecursionError):
        return None
    found: dict[str, int | float] = {}
    for name in _Asked.__struct_fields__:
        raw: msgspec.Raw = getattr(asked, name)
        if raw is NULL:
            continue
        try:
            number = _decode_number(bytes(raw))
        except msgspec.DecodeError:
            continue
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            continue  # neither a record nor a span can say it
        found["max_tokens" if name.startswith("max_") else name] = number
    return found or None
