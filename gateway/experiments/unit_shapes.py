"""What is read of a request's body to know its unit: structs, which stay interpreted."""

from __future__ import annotations

from typing import Final

import msgspec


class Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class Named(msgspec.Struct, gc=False):
    """Where the formats of clients name their user."""

    safety_identifier: str | None = None
    user: str | None = None
    metadata: Metadata | None = None


decode_text: Final = msgspec.json.Decoder(str | None).decode
decode_metadata: Final = msgspec.json.Decoder(Metadata | None).decode
decode_named: Final = msgspec.json.Decoder(Named).decode
