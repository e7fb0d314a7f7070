"""What is read of a request's body to know its unit: structs, which stay interpreted."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.body.shapes import Metadata


class Named(msgspec.Struct, gc=False):
    """Where the formats of clients name their user."""

    safety_identifier: str | None = None
    user: str | None = None
    metadata: Metadata | None = None


decode_named: Final = msgspec.json.Decoder(Named).decode
