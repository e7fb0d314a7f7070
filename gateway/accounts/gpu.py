"""What the time of own engines costs: a replica's price per hour, shared by what runs there; its idle time is apart."""

from __future__ import annotations

from routing.lease import Meter


class GpuMeter(Meter):
    """Shares the cost of one replica's GPUs among the requests it serves.

    While n requests are in flight each pays 1/n of the clock. Shares are the difference of two readings of one running
    sum (virtual time), so a request costs O(1) and all costs add up to the price of the busy time, never more: dollars
    per hour over the measured throughput, at every moment. Idle time is nobody's, and counted apart. One worker sees
    only its own requests: with N workers it charges 1/N of the price, which is exact when all are busy and too little
    when some are not; what they call busy and idle adds up to the whole price all the same.
    """

    __slots__ = ("_busy_s", "_in_flight", "_last_s", "_share_s", "_since_s", "_usd_per_s")

    def __init__(self, usd_per_hour: float, workers: int = 1, now_s: float = 0.0) -> None:
        """`usd_per_hour` is the price of the whole replica, which is there from `now_s` on."""
        self._usd_per_s = usd_per_hour / 3600.0 / workers
        self._in_flight = 0
        self._share_s = 0.0
        self._busy_s = 0.0
        self._since_s = self._last_s = now_s

    def start(self, now_s: float) -> float:
        """A request is dispatched; keep the mark for `finish`. `now_s` is any monotonic clock."""
        self._advance(now_s)
        self._in_flight += 1
        return self._share_s

    def cost_so_far_usd(self, mark: float, now_s: float) -> float:
        """What the request that `start` gave `mark` has cost until now, in US dollars."""
        self._advance(now_s)
        return (self._share_s - mark) * self._usd_per_s

    def finish(self, mark: float, now_s: float) -> float:
        """The request that `start` gave `mark` has ended, in whatever way; its cost in US dollars."""
        self._advance(now_s)
        self._in_flight -= 1
        return (self._share_s - mark) * self._usd_per_s

    def spent_usd(self, now_s: float) -> tuple[float, float]:
        """What the replica has cost while it was busy, and while it was idle, in US dollars."""
        self._advance(now_s)
        busy_s = self._busy_s
        return busy_s * self._usd_per_s, (max(now_s - self._since_s, busy_s) - busy_s) * self._usd_per_s

    def _advance(self, now_s: float) -> None:
        if self._in_flight:
            passed_s = now_s - self._last_s
            self._busy_s += passed_s
            self._share_s += passed_s / self._in_flight
        self._last_s = now_s


class GpuMeters:
    """The meters of one worker by replica, and what those cost that are gone: a counter must not fall."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._meters: dict[tuple[str, str], tuple[float, GpuMeter]] = {}
        self._gone: dict[str, tuple[float, float]] = {}

    def of(self, replica: tuple[str, str], usd_per_hour: float | None, now_s: float) -> GpuMeter | None:
        """The meter of a replica (engine and id) at this price; None where it has none."""
        known = self._meters.get(replica)
        if known is not None and known[0] != usd_per_hour:
            self.let_go(replica, now_s)
            known = None
        if not usd_per_hour:
            return None
        if known is None:
            known = self._meters[replica] = usd_per_hour, GpuMeter(usd_per_hour, self._workers, now_s)
        return known[1]

    def let_go(self, replica: tuple[str, str], now_s: float) -> None:
        """The replica is gone, or has another price from now on."""
        known = self._meters.pop(replica, None)
        if known is not None:
            busy, idle = known[1].spent_usd(now_s)
            before = self._gone.get(replica[0], (0.0, 0.0))
            self._gone[replica[0]] = before[0] + busy, before[1] + idle

    def spent_usd(self, now_s: float) -> list[tuple[tuple[str, str], float]]:
        """By engine and `busy` or `idle`, in US dollars."""
        engines = dict(self._gone)
        for (engine, _), (_, meter) in self._meters.items():
            busy, idle = meter.spent_usd(now_s)
            before = engines.get(engine, (0.0, 0.0))
            engines[engine] = before[0] + busy, before[1] + idle
        return [
            ((engine, state), usd)
            for engine, both in sorted(engines.items())
            for state, usd in zip(("busy", "idle"), both, strict=True)
        ]
