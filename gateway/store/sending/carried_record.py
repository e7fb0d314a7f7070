"""A record that came from a worker: a struct, which stays interpreted."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.accounts.record import RequestRecord


class CarriedRecord(RequestRecord, array_like=True, gc=False):
    """See `gateway.store.sending.carried`."""

    shares: tuple[float, ...] | None = None


decode_carried: Final = msgspec.msgpack.Decoder(list[CarriedRecord]).decode
SHARES_AT: Final[int] = CarriedRecord.__struct_fields__.index("shares")
"""The place of that field."""
