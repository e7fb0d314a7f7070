"""When requests are to be sent: one seeded schedule for the whole run, known before the run begins.

Promise: `schedule` depends on its arguments alone. The same kind, duration and seed give the same offsets in every
process; a longer run begins with the shorter one; the shards of any number of workers are exactly the whole. Tools that
draw per worker, or sleep from gap to gap, repeat gaps once per worker or drift away from the rate they were asked for.

The processes that have a mean rate start in equilibrium, not with an arrival at 0: then the expected count of any
window, from the first second on, is rate times length, however bursty they are. Only `constant` starts at 0.
Only `trace` touches anything outside: it reads its file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from loadtests.traces import load_trace

Offsets = npt.NDArray[np.int64]
"""Nanoseconds from the start of the run, ascending; two may be equal."""
Times = npt.NDArray[np.float64]
NS_PER_S = 1_000_000_000
MAX_ARRIVALS = 20_000_000
"""Expected arrivals of one schedule; 160 MB of offsets. More is a mistyped rate or duration."""
MAX_CV = 100.0
_BLOCK = 4096  # gaps drawn at once, whatever the duration: so that a longer run begins with the shorter one


def _refuse(wrong: bool, sentence: str) -> None:
    if wrong:
        raise ValueError(sentence)


def _positive(name: str, value: float) -> None:
    _refuse(not 0 < value < math.inf, f"{name} is {value:g}: it must be above 0 and finite")


class _Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all kinds share: they are plain data, checked when made, that travels as JSON."""


class Constant(_Kind, frozen=True, tag="constant"):
    """Evenly spaced; the first at 0."""

    rate_per_s: float

    def __post_init__(self) -> None:
        _positive("rate", self.rate_per_s)


class Poisson(_Kind, frozen=True, tag="poisson"):
    """Independent users: exponential gaps."""

    rate_per_s: float

    def __post_init__(self) -> None:
        _positive("rate", self.rate_per_s)


class Gamma(_Kind, frozen=True, tag="gamma"):
    """Independent gamma gaps; `cv` is their standard deviation over their mean: 1 is Poisson, more comes in bursts."""

    rate_per_s: float
    cv: float = 2.0

    def __post_init__(self) -> None:
        _positive("rate", self.rate_per_s)
        _positive("cv", self.cv)
        _refuse(self.cv > MAX_CV, f"cv is {self.cv:g}: it must be at most {MAX_CV:g}")


class Mmpp(_Kind, frozen=True, tag="mmpp"):
    """A Poisson process whose rate switches between busy and quiet after exponential times (Markov-modulated).

    `rate_per_s` is the long-run mean; `quiet_ratio` is the quiet rate as a share of it.
    """

    rate_per_s: float
    on_s: float = 2.0
    off_s: float = 8.0
    quiet_ratio: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate_per_s), ("on", self.on_s), ("off", self.off_s)):
            _positive(name, value)
        _refuse(not 0 <= self.quiet_ratio <= 1, f"quiet is {self.quiet_ratio:g}: it must be between 0 and 1")

    @property
    def rates_per_s(self) -> tuple[float, float]:
        """The busy and the quiet rate."""
        quiet = self.rate_per_s * self.quiet_ratio
        return (self.rate_per_s * (self.on_s + self.off_s) - quiet * self.off_s) / self.on_s, quiet


class Ramp(_Kind, frozen=True, tag="ramp"):
    """A Poisson process whose rate is linear between (seconds, rate) points; after the last one it stays."""

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        _refuse(not self.points or self.points[0][0] != 0, "a ramp needs points `time=rate`, the first at 0s")
        times = [at for at, _ in self.points]
        _refuse(any(b <= a for a, b in pairwise(times)), "the times of a ramp must ascend")
        _refuse(not all(math.isfinite(at) for at in times), "the times of a ramp must be finite")
        _refuse(not all(0 <= rate < math.inf for _, rate in self.points), "the rates of a ramp must be 0 or more")
        _refuse(not any(rate for _, rate in self.points), "a ramp needs a rate above 0")


class Replay(_Kind, frozen=True, tag="trace"):
    """The times of a recorded trace, `speed` times as fast, its first row at 0; after its last row nothing comes."""

    file: str
    speed: float = 1.0

    def __post_init__(self) -> None:
        _positive("speed", self.speed)


Arrivals = Constant | Poisson | Gamma | Mmpp | Ramp | Replay


def schedule(spec: Arrivals, duration_s: float, seed: int) -> Offsets:
    """When each request of a run is to be sent: those before `duration_s`.

    Raises ValueError when that could be more than MAX_ARRIVALS, and TraceError for a bad trace.
    """
    _positive("duration", duration_s)
    _refuse(seed < 0, f"seed is {seed}: it must be 0 or more")
    if not isinstance(spec, Replay):
        peak = max(rate for _, rate in spec.points) if isinstance(spec, Ramp) else spec.rate_per_s
        _refuse(
            peak * duration_s > MAX_ARRIVALS,
            f"{peak:g} requests/s for {duration_s:g} s: a schedule holds at most {MAX_ARRIVALS} requests",
        )
    match spec:
        case Constant():
            times = np.arange(math.ceil(duration_s * spec.rate_per_s) + 1) / spec.rate_per_s
        case Poisson():
            times = _poisson(_rng(seed, 0), spec.rate_per_s, duration_s)
        case Gamma():
            times = _gamma(_rng(seed, 0), spec, duration_s)
        case Mmpp():
            times = _mmpp(seed, spec, duration_s)
        case Ramp():
            times = _ramp(seed, spec, duration_s)
        case Replay():
            times = np.array([row.at_ns for row in load_trace(spec.file).rows]) / (NS_PER_S * spec.speed)
    offsets: Offsets = np.rint(times * NS_PER_S).astype(np.int64)
    return offsets[: int(np.searchsorted(offsets, round(duration_s * NS_PER_S)))]


def shard(offsets: Offsets, worker: int, workers: int) -> tuple[Offsets, Offsets]:
    """The requests that worker `worker` of `workers` sends, numbered from 0: their indexes and their offsets."""
    _refuse(not 0 <= worker < workers, f"worker {worker} of {workers}: it must be 0 to {workers - 1}")
    return np.arange(worker, len(offsets), workers, dtype=np.int64), offsets[worker::workers]


def fingerprint(offsets: Offsets) -> str:
    """16 hex digits of a whole schedule: workers on other hosts must report the same, or their union is no schedule."""
    return hashlib.sha256(offsets.astype("<i8").tobytes()).hexdigest()[:16]


def with_rate(spec: Arrivals, rate_per_s: float) -> Arrivals:
    """The same shape at another mean rate: that of all its points for a ramp, of the whole recording for a trace."""
    _positive("rate", rate_per_s)
    if isinstance(spec, Ramp):
        at, rates = np.array(spec.points).T
        mean = float(np.trapezoid(rates, at) / at[-1]) if at[-1] > 0 else float(rates[0])
        return Ramp(points=tuple((t, rate * rate_per_s / mean) for t, rate in spec.points))
    if isinstance(spec, Replay):
        rows = load_trace(spec.file).rows
        _refuse(not rows or not rows[-1].at_ns, f"{spec.file}: a trace without duration has no rate to change")
        return Replay(file=spec.file, speed=rate_per_s * rows[-1].at_ns / NS_PER_S / len(rows))
    return msgspec.structs.replace(spec, rate_per_s=rate_per_s)


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream])


def _accumulate(first_s: float, gaps: Callable[[int], Times], until_s: float) -> Times:
    """Times from `first_s` on, by adding gaps; at least up to `until_s`."""
    blocks = [np.array([first_s])]
    while blocks[-1][-1] < until_s:
        blocks.append(blocks[-1][-1] + np.cumsum(gaps(_BLOCK)))
    return np.concatenate(blocks)


def _poisson(rng: np.random.Generator, rate_per_s: float, until_s: float) -> Times:
    return _accumulate(
        rng.standard_exponential() / rate_per_s, lambda n: rng.standard_exponential(n) / rate_per_s, until_s
    )


def _gamma(rng: np.random.Generator, spec: Gamma, until_s: float) -> Times:
    shape = spec.cv**-2
    scale_s = 1 / (shape * spec.rate_per_s)
    # Who looks at a random moment meets a gap with probability proportional to its length, which makes gamma(k) into
    # gamma(k + 1), and sees a uniform share of it ahead. Without this, cv 10 would send 50 requests more than asked.
    first_s = rng.random() * rng.standard_gamma(shape + 1) * scale_s
    return _accumulate(first_s, lambda n: rng.standard_gamma(shape, n) * scale_s, until_s)


def _mmpp(seed: int, spec: Mmpp, until_s: float) -> Times:
    states = _rng(seed, 1)
    busy_first = states.random() < spec.on_s / (spec.on_s + spec.off_s)
    order = 1 if busy_first else -1
    means_s = np.tile(np.array([spec.on_s, spec.off_s])[::order], _BLOCK // 2)
    knots_s = _accumulate(0.0, lambda n: states.standard_exponential(n) * means_s, until_s)
    rates = np.resize(np.array(spec.rates_per_s)[::order], len(knots_s) - 1)
    # A Poisson process of rate 1, in the time in which every state has rate 1, mapped back to seconds: exact.
    expected = np.concatenate([[0.0], np.cumsum(np.diff(knots_s) * rates)])
    unit = _poisson(_rng(seed, 0), 1.0, float(np.interp(until_s, knots_s, expected)))
    times: Times = np.interp(unit, expected, knots_s)
    return times


def _ramp(seed: int, spec: Ramp, until_s: float) -> Times:
    at_s, rates = np.array(spec.points).T
    peak = float(rates.max())
    candidates = _poisson(_rng(seed, 0), peak, until_s)  # thinning: Lewis and Shedler 1979
    kept = _rng(seed, 1).random(len(candidates)) * peak < np.interp(candidates, at_s, rates)
    times: Times = candidates[kept]
    return times


_SUFFIX_S = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))


def _number(text: str, units: bool = False) -> float:
    scale = 1.0
    if units:
        for suffix, seconds in _SUFFIX_S:
            if text.endswith(suffix):
                text, scale = text.removesuffix(suffix), seconds
                break
    try:
        return float(text) * scale
    except ValueError:
        raise ValueError(f"`{text}` is not a number" + (" of ms, s, m or h" if units else "")) from None


_OPTIONS: dict[str, dict[str, tuple[str, bool]]] = {  # kind -> option as typed -> field, and whether it is a time
    "constant": {},
    "poisson": {},
    "gamma": {"cv": ("cv", False)},
    "mmpp": {"on": ("on_s", True), "off": ("off_s", True), "quiet": ("quiet_ratio", False)},
    "trace": {"speed": ("speed", False)},
}


def parse_arrivals(text: str, rate: float | None = None) -> Arrivals:
    """Read `constant`, `poisson`, `gamma:cv=2`, `mmpp:on=2s,off=8s,quiet=0.1`, `ramp:0s=10,30s=100` or
    `trace:file=F,speed=2`.

    `rate` is the mean in requests per second. A ramp and a trace have their own: None for them. Raises ValueError with
    one sentence.
    """
    kind, _, rest = text.partition(":")
    pairs = [part.partition("=")[::2] for part in rest.split(",")] if rest else []
    own_rate = kind in ("ramp", "trace")
    kinds = [*_OPTIONS, "ramp"]
    _refuse(kind not in kinds, f"arrivals `{kind}`: expected one of {', '.join(kinds)}")
    _refuse(own_rate and rate is not None, f"arrivals `{kind}` have their own rate: give none beside them")
    _refuse(not own_rate and rate is None, f"arrivals `{kind}` need a rate")
    if kind == "ramp":
        return Ramp(points=tuple((_number(at, units=True), _number(value)) for at, value in pairs))
    values: dict[str, Any] = {"kind": kind}
    for key, value in pairs:
        if kind == "trace" and key == "file":
            values["file"] = value
        elif key in _OPTIONS[kind]:
            field, is_time = _OPTIONS[kind][key]
            values[field] = _number(value, units=is_time)
        else:
            known = ", ".join([*(["file"] if kind == "trace" else []), *_OPTIONS[kind]]) or "it has none"
            raise ValueError(f"arrivals `{kind}`: `{key}` is not one of its options ({known})")
    _refuse(kind == "trace" and not values.get("file"), "arrivals `trace` need file=PATH")
    if rate is not None:
        values["rate_per_s"] = rate
    try:
        spec: Arrivals = msgspec.convert(values, Arrivals)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return spec
