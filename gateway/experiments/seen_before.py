"""What was seen of requests, as gateways of earlier versions told it: both run at once in an upgrade, and the store
keeps what was told before one. Off the hot path, and interpreted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from routing.gate.observation import Assigned, Measured, Observation, Settled

_KINDS: Final[tuple[Callable[..., Observation], ...]] = (Assigned, Settled, Measured)

_decode: Final = msgspec.msgpack.Decoder(
    tuple[
        list[tuple[str, tuple[float, ...]]],  # experiments, each with the shares of some moment
        list[Annotated[int, Meta(ge=0, lt=len(_KINDS))]],
        list[Annotated[int, Meta(ge=0)]],  # which of those experiments
        list[int],  # arms
        list[int],  # units
        list[str],  # ids of records, of what is settled or measured; of what is settled all these, too:
        list[int],  # flags
        list[float | None],  # time to first token, ms
        list[float | None],  # time per output token, ms
        list[float | None],  # duration, ms
        list[float | None],  # cost, US dollars
        list[float],  # in flight
        list[str],  # metrics, of what is measured
        list[float],  # their values
    ]
).decode

_Given = tuple[str, int, int, tuple[float, ...]]
_rows_of: Final = (
    msgspec.msgpack.Decoder(_Given).decode,
    msgspec.msgpack.Decoder(
        tuple[str, int, int, tuple[float, ...], str, int, float | None, float | None, float | None, float | None, float]
    ).decode,
    msgspec.msgpack.Decoder(tuple[str, int, int, tuple[float, ...], str, str, float]).decode,
)


def unpacked(data: bytes) -> list[Observation] | None:
    """The columns of the version before this one; None for anything else."""
    try:
        places, kinds, whose, arms, units, ids, *columns = _decode(data)
        more: tuple[Iterator[Any], ...] = iter(()), zip(*columns[:6], strict=True), zip(*columns[6:], strict=True)
        named = iter(ids)
        found: list[Observation] = []
        for at, kind in enumerate(kinds):
            experiment, shares = places[whose[at]]
            given: tuple[Any, ...] = (experiment, arms[at], units[at], shares)
            found.append(_KINDS[kind](*given) if not kind else _KINDS[kind](*given, next(named), *next(more[kind])))
    except (ValueError, IndexError, StopIteration):  # what msgspec raises is the first of them
        return None
    return found


def unpacked_rows(rows: Sequence[tuple[int, msgspec.Raw]]) -> list[Observation]:
    """What was told before there were columns: of each its kind and its fields. Raises ValueError."""
    found: list[Observation] = []
    try:
        for kind, row in rows:
            fields: tuple[Any, ...] = _rows_of[kind](row)
            found.append(_KINDS[kind](*fields))
    except (msgspec.MsgspecError, IndexError) as error:
        raise ValueError(f"these are no observations: {error}") from None
    return found
