"""What a good request is: answered without an error, and within every limit, counted from the intended send.

`ttft=500ms,tpot=50ms,e2e=2s`. A limit on tokens (ttft, ttfo, tpot, stall) judges streamed requests only; e2e all.
A streamed answer that never brought content misses ttft. A tpot limit does not apply to an answer of fewer than two
tokens (there is no time between tokens), but an unknown token count misses it: what cannot be shown is not good.
"""

from __future__ import annotations

import math
import re

import msgspec
import numpy as np

from loadtests.client.record import Record
from loadtests.statistics.columns import Bools, Columns, Floats

_UNITS_S = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m)")


class Slo(msgspec.Struct, frozen=True):
    """Limits in seconds; None is no limit. With none at all, a good request is one that succeeded."""

    ttft_s: float | None = None
    ttfo_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    stall_s: float | None = None

    def limits(self) -> dict[str, float]:
        """The limits that are set, by the name they are written with."""
        return {name: value for name in NAMES if (value := getattr(self, f"{name}_s")) is not None}

    def __str__(self) -> str:
        return ",".join(f"{name}={_text(value)}" for name, value in self.limits().items()) or "success"

    def good(self, run: Columns) -> Bools:
        """Which rows are good. Errors, sheds, timeouts and client drops are not."""
        good = run.ok.copy()
        if self.ttft_s is not None:
            good &= ~run.stream | _within(run.ttft_response_s, self.ttft_s)
        if self.ttfo_s is not None:
            good &= ~run.stream | _within(run.ttfo_response_s, self.ttfo_s)
        if self.tpot_s is not None:
            too_short = (run.tokens == 0) | (run.tokens == 1)
            good &= ~run.stream | too_short | _within(run.tpot_s, self.tpot_s)
        if self.e2e_s is not None:
            good &= _within(run.e2e_response_s, self.e2e_s)
        if self.stall_s is not None:
            good &= ~run.stream | (run.chunks < 2) | _within(run.stall_s, self.stall_s)
        return good

    def met_by(self, record: Record) -> bool:
        """Whether one record is good, for counting while a run goes on; `good` says the same of a whole run."""
        if record.error or not record.te:
            return False
        if self.e2e_s is not None and not _is_within(record.te - record.ti, self.e2e_s):
            return False
        return not record.stream or self._stream_met_by(record)

    def _stream_met_by(self, record: Record) -> bool:
        if self.ttft_s is not None and not (record.c1 and _is_within(record.c1 - record.ti, self.ttft_s)):
            return False
        first = record.first_content
        if self.ttfo_s is not None and not (first and _is_within(first - record.ti, self.ttfo_s)):
            return False
        if self.tpot_s is not None and record.tokens not in (0, 1):
            if record.tokens is None or not record.c1 or not record.ck:
                return False
            if not _is_within((record.ck - record.c1) / (record.tokens - 1), self.tpot_s):
                return False
        return self.stall_s is None or record.chunks < 2 or _is_within(record.max_gap_ns, self.stall_s)


NAMES = ("ttft", "ttfo", "tpot", "e2e", "stall")


def parse_duration_s(text: str) -> float:
    """`500ms`, `2s`, `1.5s`, `250us`, `1m` in seconds. A bare number is refused: its unit would be a guess."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 500ms, 2s or 250us")
    return float(match[1]) * _UNITS_S[match[2]]


def parse_slo(text: str) -> Slo:
    """Read `name=duration` pairs. Raises ValueError, with what would be right, for an unknown or repeated name."""
    limits: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name not in NAMES:
            raise ValueError(f"{part!r} is not an SLO limit: write name=duration with one of {', '.join(NAMES)}")
        if name in limits:
            raise ValueError(f"the SLO names {name} twice")
        limits[name] = parse_duration_s(value)
        if limits[name] <= 0:
            raise ValueError(f"{part!r}: a limit must be above zero")
    if not limits:
        raise ValueError("the SLO is empty: write for example ttft=500ms,tpot=50ms")
    return Slo(**{f"{name}_s": value for name, value in limits.items()})


def _within(values_s: Floats, limit_s: float) -> Bools:
    # Stamps are whole nanoseconds, so half of one forgives the rounding of the division only. NaN is never within.
    return np.asarray(values_s <= limit_s + 0.5e-9)


def _is_within(value_ns: float, limit_s: float) -> bool:
    return value_ns / 1e9 <= limit_s + 0.5e-9


def _text(value_s: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value_s >= scale or math.isclose(value_s, scale):
            return f"{value_s / scale:.6g}{unit}"
    return f"{value_s / 1e-6:.6g}us"
