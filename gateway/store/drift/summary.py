"""One hour of one model, arm and route, as it is stored: some 3 KiB, however many requests it had."""

from __future__ import annotations

import msgspec

from gateway.store.drift.rows import Gathered
from routing.drift.histogram import Histogram
from routing.drift.signals import COUNTED
from routing.drift.watch import Hour


class Summary(msgspec.Struct, omit_defaults=True):
    """As msgpack."""

    requests: int
    histograms: dict[str, list[tuple[int, float]]]
    """By the name of the amount: bucket and weight (`routing.drift.histogram`)."""
    blocks: list[list[int]]
    """See `routing.drift.window.Window.blocks`."""
    identities: list[tuple[str, str, str, int]]
    """Engine, field, value, and how many answers said so."""
    users_known: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Summary).decode


def summed_up(gathered: Gathered) -> bytes:
    """What was gathered, to be stored."""
    window = gathered.window
    histograms = {
        name: [(bucket, round(weight, 3)) for bucket, weight in sorted(one.weights.items())]
        for name, one in window.histograms().items()
        if one.weights
    }
    identities = [(*key, count) for key, count in sorted(gathered.identities.items())]
    return _encode(Summary(window.requests, histograms, window.ended(), identities, gathered.users_known))


def hour_of(data: bytes) -> Hour:
    """What was stored. Raises msgspec.DecodeError."""
    summary = _decode(data)
    return Hour(
        summary.requests,
        {name: Histogram(dict(weights)) for name, weights in summary.histograms.items()},
        [[*block, *[0] * (len(COUNTED) + 1 - len(block))] for block in summary.blocks],  # of a version with fewer
        {(engine, field, value): count for engine, field, value, count in summary.identities},
        summary.users_known,
    )
