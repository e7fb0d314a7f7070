"""What was seen of requests of experiments, on its way: to the control plane of the same process as it is, to that of
another and into the store as columns, which are written and read in a fifth of the time that an array for each takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from routing.gate.observation import Assigned, Measured, Observation, Settled

ASSIGNED: Final = 0
SETTLED: Final = 1
MEASURED: Final = 2
"""The kinds; each observation has one, in the order in which they came."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(
    tuple[
        list[tuple[str, tuple[float, ...]]],  # experiments, each with the shares of some moment
        list[int],  # kinds
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
_rows_of: Final = {
    ASSIGNED: msgspec.msgpack.Decoder(_Given).decode,
    SETTLED: msgspec.msgpack.Decoder(
        tuple[str, int, int, tuple[float, ...], str, int, float | None, float | None, float | None, float | None, float]
    ).decode,
    MEASURED: msgspec.msgpack.Decoder(tuple[str, int, int, tuple[float, ...], str, str, float]).decode,
}


class Seen:
    """Some observations, in the order in which they came; `gateway.workers.link` knows how they travel."""

    __slots__ = ("observations",)

    def __init__(self, observations: list[Observation]) -> None:
        self.observations: Final = observations

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and self.observations == other.observations

    def __hash__(self) -> int:
        return hash(tuple(self.observations))

    def packed(self) -> bytes:
        return packed(self.observations)

    @classmethod
    def unpacked(cls, data: bytes) -> Seen:
        """Raises ValueError."""
        return cls(unpacked(data))


def packed(observations: Sequence[Observation]) -> bytes:
    """msgpack of their columns."""
    places: dict[tuple[str, tuple[float, ...]], int] = {}
    kinds: list[int] = []
    whose: list[int] = []
    arms: list[int] = []
    units: list[int] = []
    ids: list[str] = []
    flags: list[int] = []
    ttfts_ms: list[float | None] = []
    tpots_ms: list[float | None] = []
    durations_ms: list[float | None] = []
    costs_usd: list[float | None] = []
    in_flight: list[float] = []
    metrics: list[str] = []
    values: list[float] = []
    experiment, place, known = "", 0, False
    shares: tuple[float, ...] = ()
    for one in observations:
        if not known or one.shares is not shares or one.experiment is not experiment:
            experiment, shares, known = one.experiment, one.shares, True
            place = places.setdefault((experiment, shares), len(places))
        whose.append(place)
        arms.append(one.arm)
        units.append(one.unit)
        if isinstance(one, Settled):
            kinds.append(SETTLED)
            ids.append(one.record_id)
            flags.append(one.flags)
            ttfts_ms.append(one.ttft_ms)
            tpots_ms.append(one.tpot_ms)
            durations_ms.append(one.duration_ms)
            costs_usd.append(one.cost_usd)
            in_flight.append(one.in_flight)
        elif isinstance(one, Measured):
            kinds.append(MEASURED)
            ids.append(one.record_id)
            metrics.append(one.metric)
            values.append(one.value)
        else:
            kinds.append(ASSIGNED)
    of_settled = flags, ttfts_ms, tpots_ms, durations_ms, costs_usd, in_flight
    return _encode((list(places), kinds, whose, arms, units, ids, *of_settled, metrics, values))


def unpacked(data: bytes) -> list[Observation]:
    """What was `packed`. Raises ValueError for anything else."""
    try:
        columns: tuple[Any, ...] = _decode(data)
        return _rows(columns)
    except (msgspec.MsgspecError, IndexError) as error:
        raise ValueError(f"these are no observations: {error}") from None


def unpacked_rows(rows: Sequence[tuple[int, msgspec.Raw]]) -> list[Observation]:
    """What gateways wrote before there were columns: of each its kind and its fields. Raises ValueError."""
    found: list[Observation] = []
    try:
        for kind, row in rows:
            fields: tuple[Any, ...] = _rows_of[kind](row)
            found.append((Assigned, Settled, Measured)[kind](*fields))
    except (msgspec.MsgspecError, KeyError) as error:
        raise ValueError(f"these are no observations: {error}") from None
    return found


def _rows(columns: tuple[Any, ...]) -> list[Observation]:
    places: list[tuple[str, tuple[float, ...]]] = columns[0]
    kinds: list[int] = columns[1]
    whose: list[int] = columns[2]
    arms: list[int] = columns[3]
    units: list[int] = columns[4]
    ids: list[str] = columns[5]
    flags: list[int] = columns[6]
    ttfts_ms: list[float | None] = columns[7]
    tpots_ms: list[float | None] = columns[8]
    durations_ms: list[float | None] = columns[9]
    costs_usd: list[float | None] = columns[10]
    in_flight: list[float] = columns[11]
    metrics: list[str] = columns[12]
    values: list[float] = columns[13]
    found: list[Observation] = []
    settled = measured = 0
    for at, kind in enumerate(kinds):
        experiment, shares = places[whose[at]]
        arm, unit = arms[at], units[at]
        if kind == SETTLED:
            one = settled
            settled += 1
            found.append(
                Settled(
                    experiment,
                    arm,
                    unit,
                    shares,
                    ids[one + measured],
                    flags[one],
                    ttfts_ms[one],
                    tpots_ms[one],
                    durations_ms[one],
                    costs_usd[one],
                    in_flight[one],
                )
            )
        elif kind == MEASURED:
            one = measured
            measured += 1
            found.append(Measured(experiment, arm, unit, shares, ids[one + settled], metrics[one], values[one]))
        elif kind == ASSIGNED:
            found.append(Assigned(experiment, arm, unit, shares))
        else:
            raise ValueError(f"these are no observations: one is of kind {kind}")
    return found


class Counted:
    """The requests of one arm, and how many had each event."""

    __slots__ = ("events", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.events: Final[list[int]] = []
        """The flags of those that had any."""


def counted(observations: Sequence[Observation]) -> dict[str, dict[int, Counted]]:
    """By experiment and arm."""
    found: dict[str, dict[int, Counted]] = {}
    experiment = ""
    arms: dict[int, Counted] | None = None
    for one in observations:
        if arms is None or one.experiment is not experiment:
            experiment = one.experiment
            arms = found.setdefault(experiment, {})
        if isinstance(one, Assigned):
            by = arms.get(one.arm)
            if by is None:
                by = arms[one.arm] = Counted()
            by.requests += 1
        elif isinstance(one, Settled) and one.flags:
            by = arms.get(one.arm)
            if by is None:
                by = arms[one.arm] = Counted()
            by.events.append(one.flags)
    return found
