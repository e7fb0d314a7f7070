"""What a provider tells of its limits, in the words of a client of another format: names, and how a reset is written.

Clients of Anthropic's read `anthropic-ratelimit-{requests,tokens,...}-{limit,remaining,reset}`, with a reset as a date
of RFC 3339; those of OpenAI's `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, with one as a duration (`90s`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Final

from engines.loads.limits import seconds_to

Pairs = Sequence[tuple[bytes, bytes]]
OPENAI: Final = b"x-ratelimit-"
ANTHROPIC: Final = b"anthropic-ratelimit-"
_PARTS: Final = (b"limit", b"remaining", b"reset")
_OF_OTHERS: Final = {b"": b"requests", b"req-minute": b"requests", b"tokens-minute": b"tokens"}
"""OpenRouter's and Mistral's words for what OpenAI calls so."""


def for_clients_of(anthropic: bool, headers: Pairs, now_s: float) -> Pairs:
    """The headers with their limits in the words of Anthropic's clients, or of OpenAI's. `now_s` is Unix seconds."""
    unwanted = OPENAI if anthropic else ANTHROPIC
    if not any(name.startswith(unwanted) for name, _ in headers):
        return headers
    kept = [(name, value) for name, value in headers if not name.startswith(unwanted)]
    told = _told(headers, anthropic)
    if not anthropic and b"tokens" not in told:  # OpenAI has one sort, and the input's is reached first
        sort = b"input-tokens" if b"input-tokens" in told else b"output-tokens"
        told[b"tokens"] = told.get(sort, {})
    for of, parts in told.items():
        if not anthropic and of not in (b"requests", b"tokens"):
            continue
        for part in _PARTS:
            if part in parts:
                name = b"%b%b-%b" % (ANTHROPIC, of, part) if anthropic else b"%b%b-%b" % (OPENAI, part, of)
                kept.append((name, _reset(parts[part], anthropic, now_s) if part == b"reset" else parts[part]))
    return kept


def _told(headers: Pairs, from_openai: bool) -> dict[bytes, dict[bytes, bytes]]:
    """By what is limited and which part of it is told."""
    told: dict[bytes, dict[bytes, bytes]] = {}
    for name, value in headers:
        if from_openai and name.startswith(OPENAI):
            part, _, of = name[len(OPENAI) :].partition(b"-")
        elif not from_openai and name.startswith(ANTHROPIC):
            of, _, part = name[len(ANTHROPIC) :].rpartition(b"-")
        else:
            continue
        told.setdefault(_OF_OTHERS.get(of, of), {})[part] = value
    return told


def _reset(value: bytes, anthropic: bool, now_s: float) -> bytes:
    if not anthropic:
        return b"%ds" % ceil(max(0.0, _date_s(value, now_s) - now_s))
    at = datetime.fromtimestamp(now_s + seconds_to(value, lambda: now_s), UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z").encode()


def _date_s(value: bytes, now_s: float) -> float:
    """A date of RFC 3339 as Unix seconds; one that cannot be read is a usual window away."""
    try:
        return datetime.fromisoformat(value.decode("latin-1")).timestamp()
    except (ValueError, OverflowError, OSError):
        return now_s + seconds_to(b"", lambda: now_s)
