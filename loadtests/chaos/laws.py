"""What must hold when the chaos is over. Pure: figures in, a table and a verdict out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.chaos.ledger import Account

MEMORY_MIB = 48.0
"""Growth over the whole run that counts as flat: arenas and pools fill, and a replaced worker begins anew."""
HEALTH_S = 2.0
"""While nobody reads a log stream, nothing may wait for it; the bar is what a busy core may take."""
STOP_S = 12.0
"""From SIGTERM to the end, five seconds of grace included; standard output is unread, standard error broken."""
RECOVERY = 1.0


@dataclass(slots=True)
class Figures:
    """All that was measured."""

    account: Account
    dropped_lines: float
    hung: int
    """Requests without an end after a time that is beyond every deadline of the gateway."""
    in_flight: float
    descriptors_before: dict[str, int]
    descriptors_after: dict[str, int]
    """By kind."""
    memory_growth_mib: float
    workers: int
    workers_wanted: int
    stdout_wait_s: float
    stderr_wait_s: float
    """The longest wait for /health while that stream was not read."""
    recovered_ratio: float
    """Of plain requests after it all."""
    unread_ratio: float
    """The same when nobody reads standard output and the reader of standard error has gone."""
    stop_s: float
    stop_code: int | None


@dataclass(frozen=True, slots=True)
class Law:
    """One of them, and whether it held."""

    says: str
    found: str
    held: bool


def laws(figures: Figures) -> list[Law]:
    """Every law, in the order to print."""
    account = figures.account
    uncounted = account.lost - figures.dropped_lines
    kinds = {**figures.descriptors_before, **figures.descriptors_after}
    grown = {kind: figures.descriptors_after.get(kind, 0) - figures.descriptors_before.get(kind, 0) for kind in kinds}
    # A worker opens its link to the store for hours of GPUs when it has some to tell, which may be after the warm-up.
    late = min(max(grown.get("socket", 0), 0), figures.workers_wanted or 1)
    more = "".join([f", {number:+d} {kind}" for kind, number in sorted(grown.items()) if number])
    return [
        Law(
            "no access line is lost",
            f"{account.lost} missing of {account.answered} answered, {figures.dropped_lines:.0f} counted as dropped,"
            f" {account.excused} more around a kill",
            uncounted <= 0,
        ),
        Law("no access line is doubled", f"{account.doubled} of {account.lines} lines", account.doubled == 0),
        Law("every request comes to an end", f"{figures.hung} did not", figures.hung == 0),
        Law("nothing is in flight", f"{figures.in_flight:g}", figures.in_flight == 0),
        Law(
            "descriptors are as before",
            f"{sum(figures.descriptors_before.values())} before, {sum(figures.descriptors_after.values())} after{more}",
            sum(figures.descriptors_after.values()) - late <= sum(figures.descriptors_before.values()),
        ),
        Law(
            "memory is flat",
            f"{figures.memory_growth_mib:+.1f} MiB, at most {MEMORY_MIB:g}",
            figures.memory_growth_mib <= MEMORY_MIB,
        ),
        Law(
            "every worker is there",
            f"{figures.workers} of {figures.workers_wanted}",
            figures.workers == figures.workers_wanted,
        ),
        Law(
            "an unread log stream holds nothing",
            f"/health took {figures.stdout_wait_s:.2f} s with stdout unread, {figures.stderr_wait_s:.2f} s with"
            f" stderr, bar {HEALTH_S:g}",
            max(figures.stdout_wait_s, figures.stderr_wait_s) <= HEALTH_S,
        ),
        Law(
            "it serves again as before",
            f"{figures.recovered_ratio:.1%} answered with 200",
            figures.recovered_ratio >= RECOVERY,
        ),
        Law(
            "it goes on when its log has lost its reader",
            f"{figures.unread_ratio:.1%} answered with 200 after a reload and the loss of a worker",
            figures.unread_ratio >= RECOVERY,
        ),
        Law(
            "it stops, although nobody reads its logs",
            f"exit status {figures.stop_code} after {figures.stop_s:.1f} s, at most {STOP_S:g}",
            figures.stop_code == 0 and figures.stop_s <= STOP_S,
        ),
    ]


def render(found: Sequence[Law]) -> str:
    """A line each."""
    width = max(len(law.says) for law in found)
    return "\n".join(f"  {'held  ' if law.held else 'BROKEN'}  {law.says:<{width}}  {law.found}" for law in found)
