"""What was seen, what it had to reach, and the table of both. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median

from loadtests.stall.table import STEP_MS
from loadtests.stall.yardstick import BARE_US, scale

BEYOND_S = 1.0
"""A first answer may come so long after the start is over, and no later, on the machine that bars are written for."""


@dataclass(slots=True)
class Wakeups:
    """Of models at zero."""

    waited: int = 0
    """Clients that waited for their answer."""
    left: int = 0
    """Clients that did not."""
    lost: Counter[str] = field(default_factory=Counter)
    """Of those that waited, what they got in place of a whole answer."""
    firsts_s: list[tuple[float, float]] = field(default_factory=list)
    """Of each wake-up, the time to its first answer and that of its start."""
    untold: int = 0
    """Wake-ups whose start was not seen: somebody who left had begun it before."""

    @property
    def count(self) -> int:
        return len(self.firsts_s) + self.untold

    @property
    def beyond_s(self) -> list[float]:
        """How much longer than its start each first answer took, in order."""
        return sorted([first_s - start_s for first_s, start_s in self.firsts_s])


@dataclass(slots=True)
class Changes:
    """Of replicas, under load."""

    count: int = 0
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    """Streams that ended before they said so."""
    holds_ms: list[float] = field(default_factory=list)
    """The longest turn of the gateway's loop from each reload until its replicas were there, or gone, in CPU time."""
    quiet_ms: list[float] = field(default_factory=list)
    """The same of a while after each, in which nothing changed: what the load itself does."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All of it."""

    wakeups: Wakeups
    changes: Changes
    in_flight: float
    """What the gateway took to be left, at the end."""
    starts_failed: int
    took_s: float
    bare_us: list[float]
    """What the bare relay took for a request: before, between and after the parts."""

    @property
    def scale(self) -> float:
        """What bars in time are multiplied by here."""
        return scale(median(self.bare_us))


def at(values: list[float], part: float) -> float:
    """The value below which this part of the ordered values lies; 0 of none."""
    return values[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def missed(seen: Seen) -> list[str]:
    """What was to be reached and was not."""
    wakeups, changes = seen.wakeups, seen.changes
    beyond_s, step_ms = BEYOND_S * seen.scale, STEP_MS * seen.scale
    late = sum([one > beyond_s for one in wakeups.beyond_s])
    long = sum([one > step_ms for one in changes.holds_ms])
    found = {
        f"{late} first answers later than {beyond_s:.2f} s after the start": late,
        f"{long} changes that held the loop for more than {step_ms:.2f} ms": long,
        f"{wakeups.lost.total()} of those who waited lost": wakeups.lost.total(),
        f"{changes.failed.total()} requests failed while replicas changed": changes.failed.total(),
        f"{changes.cut} streams cut while replicas changed": changes.cut,
        f"{seen.in_flight:g} left in flight at the end": seen.in_flight,
        f"{seen.starts_failed} starts failed": seen.starts_failed,
    }
    return [what for what, number in found.items() if number]


def table(seen: Seen) -> str:
    """As it is printed."""
    wakeups, changes = seen.wakeups, seen.changes
    starts = sorted([start_s for _, start_s in wakeups.firsts_s])
    beyond, holds, quiet = wakeups.beyond_s, sorted(changes.holds_ms), sorted(changes.quiet_ms)
    rows = [
        ("wake-ups", f"{wakeups.count}", ""),
        ("clients that waited, that left", f"{wakeups.waited}, {wakeups.left}", ""),
        ("lost of those that waited", f"{wakeups.lost.total()}", "0"),
        ("start-up, median and most", f"{at(starts, 0.5):.2f} s, {at(starts, 1.0):.2f} s", ""),
        (
            "first answer beyond the start-up, median, p99, most",
            f"{at(beyond, 0.5):.2f} s, {at(beyond, 0.99):.2f} s, {at(beyond, 1.0):.2f} s",
            f"{BEYOND_S:g} s, here {BEYOND_S * seen.scale:.2f} s",
        ),
        ("replica changes", f"{changes.count}", ""),
        ("requests meanwhile", f"{changes.requests}", ""),
        ("failed", f"{changes.failed.total()}", "0"),
        ("streams cut", f"{changes.cut}", "0"),
        (
            "longest hold of the loop by a change, median, p99, most",
            f"{at(holds, 0.5):.2f} ms, {at(holds, 0.99):.2f} ms, {at(holds, 1.0):.2f} ms",
            f"{STEP_MS:g} ms, here {STEP_MS * seen.scale:.2f} ms",
        ),
        (
            "the same while nothing changes, under the same load",
            f"{at(quiet, 0.5):.2f} ms, {at(quiet, 0.99):.2f} ms, {at(quiet, 1.0):.2f} ms",
            "",
        ),
        ("left in flight at the end", f"{seen.in_flight:g}", "0"),
        ("starts that failed", f"{seen.starts_failed}", "0"),
    ]
    wide = max(len(name) for name, _, _ in rows)
    lines = [f"{'':{wide}}  {'measured':28}  bar"]
    lines += [f"{name:{wide}}  {measured:28}  {bar}".rstrip() for name, measured, bar in rows]
    for name, ends in (("lost", wakeups.lost), ("failed", changes.failed)):
        lines += [f"{name}: {times} times {what}" for what, times in ends.most_common(5)]
    if wakeups.untold:
        lines.append(f"{wakeups.untold} wake-ups were begun by a client that had left, and count in no time")
    lines += [f"missed: {what}" for what in missed(seen)] or ["everything that was to be reached is reached"]
    bare_us, least, most = median(seen.bare_us), min(seen.bare_us), max(seen.bare_us)
    lines.append(f"the bare relay took {bare_us:.1f} us per request (the median of {least:.1f} to {most:.1f})")
    lines.append(f"bars in time here are those written times {bare_us:.1f} / {BARE_US} = {seen.scale:.2f}")
    lines.append(f"it took {seen.took_s / 60:.1f} min")
    return "\n".join(lines) + "\n"
