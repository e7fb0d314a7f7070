"""From rounds to the table: medians, and differences within a round. Pure; the units are in the names.

A row with one bad round is invalid as a whole: what failed is rarely a random sample of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import NamedTuple


class Cpu(NamedTuple):
    """CPU seconds of a gateway's processes, by their part."""

    path_s: float
    """Of those that requests go through, and of their parent."""
    writer_s: float = 0.0
    """Of the one that writes records, which no request waits for."""

    @property
    def all_s(self) -> float:
        return self.path_s + self.writer_s

    def since(self, before: Cpu) -> Cpu:
        return Cpu(self.path_s - before.path_s, self.writer_s - before.writer_s)


@dataclass(frozen=True, slots=True)
class Round:
    """One wrk run. `cpu` is what the gateway's processes used meanwhile, None where there is none; `foreign_s` what
    processes that have no part in the benchmark used."""

    duration_s: float
    requests: int
    cpu: Cpu | None
    p50_us: float
    p99_us: float
    foreign_s: float = 0.0

    @property
    def per_s(self) -> float:
        return self.requests / self.duration_s

    @property
    def path_us(self) -> float | None:
        """CPU microseconds per request, of all but the writer."""
        return None if self.cpu is None else self.cpu.path_s * 1e6 / self.requests

    @property
    def writer_us(self) -> float | None:
        """Of the writer; None where there is none."""
        return None if self.cpu is None or not self.cpu.writer_s else self.cpu.writer_s * 1e6 / self.requests

    @property
    def all_us(self) -> float | None:
        """Of both."""
        return None if self.cpu is None else self.cpu.all_s * 1e6 / self.requests


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes before the streams, with all of them open (the most seen), and after they closed."""

    streams: int
    before_bytes: int
    open_bytes: int
    after_bytes: int

    @property
    def kib_per_stream(self) -> float:
        return (self.open_bytes - self.before_bytes) / 1024 / self.streams


@dataclass(slots=True)
class Row:
    """All that was measured of one gateway."""

    name: str
    plain: list[Round] = field(default_factory=list)
    stream: list[Round] = field(default_factory=list)
    latency: dict[int, list[Round]] = field(default_factory=dict)
    """By number of connections."""
    memory: Memory | None = None
    soak_kib_per_min: float | None = None
    problems: list[str] = field(default_factory=list)


Figure = float | str | None


def slope_per_min(samples: Sequence[tuple[float, float]]) -> float:
    """Least-squares growth per minute of (seconds, value) samples; 0 for fewer than two."""
    if len(samples) < 2:
        return 0.0
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_v = sum(v for _, v in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return 60 * sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread if spread else 0.0


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _added(row: Row, direct: Row | None) -> dict[str, Figure]:
    """Latency of the gateway less that of the direct path in the same round; for `direct` it is absolute."""
    found: dict[str, Figure] = {}
    for connections, rounds in row.latency.items():
        if direct is None or row is direct:
            pairs = [(mine.p50_us, mine.p99_us) for mine in rounds]
        else:
            both = zip(rounds, direct.latency.get(connections, []), strict=False)
            pairs = [(mine.p50_us - base.p50_us, mine.p99_us - base.p99_us) for mine, base in both]
        found[f"added_p50_us_{connections}"] = _median([p50 for p50, _ in pairs])
        found[f"added_p99_us_{connections}"] = _median([p99 for _, p99 in pairs])
    return found


def _times(mine: float | None, theirs: float | None) -> float | None:
    return mine / theirs if mine is not None and theirs else None


def _cpu(of: str, rounds: Sequence[Round], nginx: Sequence[Round]) -> dict[str, Figure]:
    """What one request, or stream, takes: of the path, of the writer, and both; and in units of nginx's."""
    unit_us = _median([one.path_us for one in nginx])
    path_us, all_us = (_median([one.path_us for one in rounds]), _median([one.all_us for one in rounds]))
    return {
        f"cpu_us_per_{of}": path_us,
        f"cpu_nginx_per_{of}": _times(path_us, unit_us),
        f"writer_us_per_{of}": _median([one.writer_us for one in rounds]),
        f"all_us_per_{of}": all_us,
        f"all_nginx_per_{of}": _times(all_us, unit_us),
    }


def figures(row: Row, direct: Row | None, nginx: Row | None = None) -> dict[str, Figure]:
    """The medians of a row; CPU also in units of nginx's of the same run, where it has a row."""
    busy = [one.cpu.all_s / one.duration_s if one.cpu is not None else None for one in row.plain]
    return {
        "gateway": row.name,
        "requests_per_s": _median([one.per_s for one in row.plain]),
        **_cpu("request", row.plain, nginx.plain if nginx else []),
        "streams_per_s": _median([one.per_s for one in row.stream]),
        **_cpu("stream", row.stream, nginx.stream if nginx else []),
        **_added(row, direct),
        "kib_per_open_stream": row.memory.kib_per_stream if row.memory else None,
        "rss_before_mib": row.memory.before_bytes / 2**20 if row.memory else None,
        "rss_open_mib": row.memory.open_bytes / 2**20 if row.memory else None,
        "rss_after_mib": row.memory.after_bytes / 2**20 if row.memory else None,
        "soak_kib_per_min": row.soak_kib_per_min,
        "busy_cores_plain": _median(busy),
        "problem": "; ".join(row.problems) or None,
    }


BEFORE_LATENCY: Mapping[str, tuple[str, str]] = {
    "gateway": ("gateway", "s"),
    "requests_per_s": ("req/s", ",.0f"),
    "cpu_us_per_request": ("CPU us/req", ".1f"),
    "cpu_nginx_per_request": ("x nginx", ".2f"),
    "writer_us_per_request": ("+ writer us/req", ".1f"),
    "all_us_per_request": ("= us/req", ".1f"),
    "all_nginx_per_request": ("x nginx", ".2f"),
    "streams_per_s": ("streams/s", ",.0f"),
    "cpu_us_per_stream": ("CPU us/stream", ".0f"),
    "cpu_nginx_per_stream": ("x nginx", ".2f"),
    "writer_us_per_stream": ("+ writer us/stream", ".1f"),
    "all_us_per_stream": ("= us/stream", ".0f"),
    "all_nginx_per_stream": ("x nginx", ".2f"),
}
AFTER_LATENCY: Mapping[str, tuple[str, str]] = {
    "kib_per_open_stream": ("KiB/open stream", ".1f"),
    "soak_kib_per_min": ("soak KiB/min", ".0f"),
}


def columns(rows: Sequence[Mapping[str, Figure]]) -> dict[str, tuple[str, str]]:
    """Heading and format of every column somebody has a figure for; latency by connections, `+p99@4` at four."""
    at = sorted({int(name.rsplit("_", 1)[1]) for row in rows for name in row if name.startswith("added_p50_us_")})
    latency = {f"added_{q}_us_{n}": (f"+{q}@{n} us", ".0f") for n in at for q in ("p50", "p99")}
    every = {**BEFORE_LATENCY, **latency, **AFTER_LATENCY}
    for of in ("request", "stream"):
        if all(row.get(f"writer_us_per_{of}") is None for row in rows):  # the sum would say the same again
            for name in (f"all_us_per_{of}", f"all_nginx_per_{of}"):
                del every[name]
    return {name: form for name, form in every.items() if any(row.get(name) is not None for row in rows)}


NOISE = 0.1
"""Foreign load, in cores, from which on a round counts as disturbed. Quiet rounds read -0.1 to 0.08: the
machine's total is sampled by ticks, the processes' share is exact, so work in short bursts makes the difference too
small."""


def foreign_cores(rows: Sequence[Row]) -> float:
    """Median over all rounds of what other processes of the machine used."""
    rounds = [one for row in rows for one in (*row.plain, *row.stream, *chain(*row.latency.values()))]
    return median(one.foreign_s / one.duration_s for one in rounds) if rounds else 0.0


def _cell(figure: Figure, form: str) -> str:
    return "-" if figure is None else format(figure, form)


def render(rows: Sequence[Mapping[str, Figure]]) -> str:
    """A Markdown table with aligned columns; a column nobody has a figure for is left out; problems follow below."""
    shown = columns(rows)
    names = list(shown)
    lines = [[heading for heading, _ in shown.values()]]
    for row in rows:
        cells = [_cell(row.get(name), form) for name, (_, form) in shown.items()]
        if row["problem"]:
            cells = [f"{cells[0]} INVALID", *("-" for _ in cells[1:])]
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = [
        "| "
        + " | ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        + " |"
        for line in [lines[0], rule, *lines[1:]]
    ]
    text += [f"{row['gateway']}: {row['problem']}" for row in rows if row["problem"]]
    return "\n".join(text)
