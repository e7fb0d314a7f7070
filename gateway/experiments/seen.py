"""What was seen of requests of experiments, on its way: to the control plane of the same process as it is, to that of
another and into the store as columns, which are written and read in a fifth of the time that an array for each takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from gateway.experiments import seen_before
from routing.experiments.assignment import Unit
from routing.gate.observation import Assigned, Completed, Measured, Observation, Settled

ASSIGNED: Final = 0
SETTLED: Final = 1
MEASURED: Final = 2
COMPLETED: Final = 3
"""The kinds; each observation has one, in the order in which they came."""
ARM: Final = 4
PLACE: Final = 1 << 18
"""A head is a kind, an arm times `ARM`, and a place times `PLACE`: one number mostly, of which nothing is made."""

_SettledRow = tuple[str, int, float | None, float | None, float | None, float | None, float]
"""The id of the record, flags, time to first token, time per output token, duration (all ms), cost (US dollars), and
what was in flight."""
_MeasuredRow = tuple[str, str, float]
"""The id of the record, the metric and its value."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(
    tuple[
        list[tuple[str, tuple[float, ...]]],  # places: experiments, each with the shares of some moment
        list[Annotated[int, Meta(ge=0)]],  # heads
        list[int],  # units
        list[_SettledRow],  # of what is settled
        list[_MeasuredRow],  # of what is measured
    ]
).decode


class Seen:
    """Some observations, in the order in which they came; `gateway.links.link` knows how they travel."""

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
    """msgpack of their columns. Raises ValueError for an arm that no experiment has."""
    places: dict[tuple[str, tuple[float, ...]], int] = {}
    heads: list[int] = []
    units: list[Unit] = []
    settled: list[_SettledRow] = []
    measured: list[_MeasuredRow] = []
    experiment, place, known = "", 0, False
    shares: tuple[float, ...] = ()
    for one in observations:
        if not known or one.shares is not shares or one.experiment is not experiment:
            experiment, shares, known = one.experiment, one.shares, True
            place = PLACE * places.setdefault((experiment, shares), len(places))
        arm = one.arm
        if not 0 <= arm < PLACE // ARM:
            raise ValueError(f"there is no arm {arm}")
        head = place + ARM * arm
        units.append(one.unit)
        if isinstance(one, Settled):
            heads.append(head + (COMPLETED if isinstance(one, Completed) else SETTLED))
            settled.append(
                (one.record_id, one.flags, one.ttft_ms, one.tpot_ms, one.duration_ms, one.cost_usd, one.in_flight)
            )
        elif isinstance(one, Measured):
            heads.append(head + MEASURED)
            measured.append((one.record_id, one.metric, one.value))
        else:
            heads.append(head + ASSIGNED)
    return _encode((list(places), heads, units, settled, measured))


def unpacked(data: bytes) -> list[Observation]:
    """What was `packed`, here or by a gateway of another version. Raises ValueError for anything else."""
    try:
        columns: tuple[Any, ...] = _decode(data)
        return _rows(columns)
    except (msgspec.MsgspecError, IndexError) as error:
        before = seen_before.unpacked(data)
        if before is None:
            raise ValueError(f"these are no observations: {error}") from None
        return before


def _rows(columns: tuple[Any, ...]) -> list[Observation]:
    places: list[tuple[str, tuple[float, ...]]] = columns[0]
    heads: list[int] = columns[1]
    units: list[Unit] = columns[2]
    settled: list[_SettledRow] = columns[3]
    measured: list[_MeasuredRow] = columns[4]
    found: list[Observation] = []
    at_settled = at_measured = 0
    for at, head in enumerate(heads):
        kind, arm, unit = head % ARM, head % PLACE // ARM, units[at]
        experiment, shares = places[head // PLACE]
        if kind == ASSIGNED:
            found.append(Assigned(experiment, arm, unit, shares))
        elif kind == MEASURED:
            measured_id, metric, value = measured[at_measured]
            at_measured += 1
            found.append(Measured(experiment, arm, unit, shares, measured_id, metric, value))
        else:
            record_id, flags, ttft_ms, tpot_ms, duration_ms, cost_usd, in_flight = settled[at_settled]
            at_settled += 1
            made: Settled
            if kind == COMPLETED:
                made = Completed(
                    experiment, arm, unit, shares, record_id, flags, ttft_ms, tpot_ms, duration_ms, cost_usd, in_flight
                )
            else:
                made = Settled(
                    experiment, arm, unit, shares, record_id, flags, ttft_ms, tpot_ms, duration_ms, cost_usd, in_flight
                )
            found.append(made)
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
        if isinstance(one, Settled):
            flags, began = one.flags, isinstance(one, Completed)
        else:
            flags, began = 0, isinstance(one, Assigned)
        if flags or began:
            by = arms.get(one.arm)
            if by is None:
                by = arms[one.arm] = Counted()
            by.requests += began
            if flags:
                by.events.append(flags)
    return found
