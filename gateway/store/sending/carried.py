"""Records as workers send them: arrays of values in the order of their fields, which take 60 % of what names would.

Law: fields of `RequestRecord` are only ever appended, because an older worker's arrays end earlier.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gateway.accounts.record import RequestRecord
from gateway.store.sending.carried_record import SHARES_AT, CarriedRecord, decode_carried

_encode: Final = msgspec.msgpack.Encoder().encode
_astuple: Final = msgspec.structs.astuple
_Raw: Final = msgspec.Raw
_AT: Final[int] = SHARES_AT


class _Shares:
    """The last shares that were carried: mostly the next are the same."""

    __slots__ = ("_json", "_packed")

    def __init__(self) -> None:
        self._json = msgspec.Raw(b"")
        self._packed = msgspec.Raw(b"")

    def packed(self, shares: Any) -> Any:
        """As msgpack, of JSON."""
        if shares is self._json:
            return self._packed
        if not isinstance(shares, _Raw):
            return shares
        self._packed = _Raw(_encode(msgspec.json.decode(shares)))
        self._json = shares
        return self._packed


_shares: Final = _Shares()


def carried(records: Iterable[RequestRecord]) -> bytes:
    """msgpack of a list of arrays. Raises UnicodeEncodeError or OverflowError for a record that cannot be written."""
    rows: list[Any] = []
    for record in records:
        row: tuple[Any, ...] = _astuple(record)
        if row[_AT] is not None:
            with_shares = list(row)
            with_shares[_AT] = _shares.packed(row[_AT])
            rows.append(with_shares)
        else:
            rows.append(row)
    return _encode(rows)


def arrived(data: bytes) -> list[CarriedRecord]:
    """The records of `carried`. Raises msgspec.MsgspecError or ValueError for anything else."""
    return decode_carried(data)
