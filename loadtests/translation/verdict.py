"""From the table's figures to the two bars: events per second of one core, and how often a peer's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypedDict

from loadtests.path.table import Figure

EVENTS_PER_S: Final = 15_000.0
"""At least so many, on a machine whose bare relay takes what the bars were written on; of the compiled build."""
TIMES: Final = 10.0
"""At least so often what the peer does in the same run."""
OURS: Final = "penstock compiled, translated"
PEER: Final = "litellm, translated"


class Bar(TypedDict):
    """One bar; `least` is scaled to the machine where it is absolute."""

    what: str
    figure: float
    least: float
    met: bool


@dataclass(slots=True)
class Found:
    """What a run says."""

    per_s: dict[str, float] = field(default_factory=dict)
    """Events per CPU second, by row."""
    bars: list[Bar] = field(default_factory=list)


def found_of(figures: Mapping[str, Mapping[str, Figure]], events: int, bare_us: float) -> Found:
    """`figures` are rows by name, each stream of `events` events; `bare_us` is the relay's on the bars' machine."""
    found = Found()
    for name, row in figures.items():
        us = row.get("cpu_us_per_stream")
        if isinstance(us, float) and us > 0:
            found.per_s[name] = events / us * 1e6
    ours, peer = found.per_s.get(OURS), found.per_s.get(PEER)
    bare = figures.get("bare", {}).get("cpu_us_per_request")
    if ours is not None and isinstance(bare, float) and bare > 0:
        least = EVENTS_PER_S * bare_us / bare
        found.bars.append({"what": "events/s of one core", "figure": ours, "least": least, "met": ours >= least})
    if ours is not None and peer is not None:
        times = ours / peer
        found.bars.append({"what": f"times {PEER}", "figure": times, "least": TIMES, "met": times >= TIMES})
    return found


def lines(found: Found) -> list[str]:
    """For a reader."""
    shown = [f"{name}: {per_s:,.0f} events per second of one core" for name, per_s in found.per_s.items()]
    for bar in found.bars:
        verdict = "met" if bar["met"] else "MISSED"
        shown.append(f"{bar['what']}: {bar['figure']:,.1f}, at least {bar['least']:,.1f}: {verdict}")
    return shown
