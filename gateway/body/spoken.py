"""How many characters a request for speech has. Providers charge by them, and none tells how many it counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from engines.model import Units, Usage
from engines.wire.lone_surrogates import reading

if TYPE_CHECKING:
    from gateway.accounts.prices import Rates


class Spoken(msgspec.Struct):
    input: str = ""


decode = msgspec.json.Decoder(Spoken).decode


def spoken_usage(rates: Rates | None, body: bytes) -> Usage | None:
    """What it uses where that has a price by the character; None where it has none, or cannot be read."""
    if rates is None or rates.tables.units is None or rates.tables.units.character is None:
        return None
    try:
        characters = len(reading(decode, body).input)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return Usage(0, 0, source="estimated", units=Units(characters=characters)) if characters else None
