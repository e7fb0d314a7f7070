"""The loop that makes replicas follow the traffic: look at what there is to do, decide (`routing.autoscale`), act.

    every 2 s            workers are asked what there is to do, and each engine's autoscaler how many replicas it needs
    a request at zero    the first replica is asked for at once; the next look decides whether one is enough
    a start that failed  whoever waits for nothing else is told; it is tried again, ever more rarely

It exists where there are no replicas, so it learns of traffic from the workers and of speeds from what they remember.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from engines.kinds.autoscaling import DAYS, AutoscaleSection, minute_of, zone_of
from engines.turns import own_turn
from gateway import clock
from gateway.control.scaling.actuator import Actuator, Standing
from gateway.control.scaling.decisions import Decided, ScalingLog
from gateway.control.scaling.demand import EngineTraffic
from gateway.control.scaling.pooling import groups_of, tightest_ttft_ms
from gateway.fleet.steps import at_once
from gateway.settings import Settings
from gateway.workers.exchange.demand import EngineDemand, EngineStart
from routing.autoscale.autoscaler import Autoscaler
from routing.autoscale.decision import ScaleDecision, Why
from routing.autoscale.pools import AlikePool, cheapest_first, left, seen_by
from routing.autoscale.schedule import ScheduleShift, bounds_at
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds, Signals

EVERY_S: Final = 2.0
AT_ONCE: Final = 3
"""Engines that are looked at in a turn of the loop: one of 64 replicas takes up to 0.6 ms, where half of them rest."""
USUAL_TTFT_MS: Final = 2_000.0
USUAL_STARTUP_S: Final = 120.0

Ask = Callable[[list[str]], Awaitable[Mapping[str, Sequence[EngineDemand] | None]]]
"""What each worker that is here has to do for these engines, by its name; None of one that did not answer."""

log = structlog.get_logger()


class _Scaled:
    """One engine that follows its traffic."""

    def __init__(self, section: AutoscaleSection, ttft_ms: float, now: float) -> None:
        self.section = section
        self.ttft_ms = ttft_ms
        self.scaler = Autoscaler(_settings(section, ttft_ms), now)
        self.traffic = EngineTraffic()
        self.started: dict[str, float] = {}
        """Those that were on their way at the last look, and since when."""
        self.waking: frozenset[str] = frozenset()
        """Which of them were being woken."""
        self.last: ScaleDecision | None = None
        self.told: EngineStart | None = None
        self.wakes = 0
        self._shifts = [
            ScheduleShift(
                frozenset([DAYS.index(day) for day in shift.days]),
                minute_of(shift.begin),
                minute_of(shift.end),
                Bounds(shift.min, shift.max),
            )
            for shift in section.schedule
        ]
        self._zone = zone_of(section.timezone)

    def bounds(self, now: datetime) -> Bounds:
        """Those of this moment."""
        here = now.astimezone(self._zone)
        otherwise = Bounds(self.section.min, self.section.max)
        return bounds_at(self._shifts, otherwise, here.weekday(), here.hour * 60 + here.minute)


class Autoscaling:
    """See the module."""

    def __init__(
        self,
        actuator: Actuator,
        ask: Ask,
        kv_usage: Callable[[str, Collection[str]], float | None],
        tell: Callable[[list[EngineStart]], None],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = clock.monotonic,
        busy: Callable[[str], Collection[str] | None] = lambda _: (),
        decided: ScalingLog | None = None,
    ) -> None:
        """`kv_usage(engine, replicas)` is how full their caches are together; `tell` tells workers of starts; `busy`
        which replicas somebody may use who tells nothing: None where nobody knows; `decided` keeps what is decided."""
        self._actuator = actuator
        self._ask = ask
        self._kv_usage = kv_usage
        self._tell = tell
        self._wall = wall
        self._monotonic = monotonic
        self._busy = busy
        self._scaled: dict[str, _Scaled] = {}
        self._decided = decided or ScalingLog()
        self._group_of: Mapping[str, tuple[str, ...]] = {}
        """Of engines that may do each other's work."""
        self._usd_per_hour: Mapping[str, float] = {}

    def use(self, settings: Settings) -> None:
        """These settings are in use from now on. What is known of an engine whose section is the same stays."""
        at_once(self.using(settings))

    def using(self, settings: Settings) -> Iterator[None]:
        """The same in steps, of which one makes all of it be in use: 300 engines at once take 4 ms."""
        now = self._monotonic()
        fresh: dict[str, _Scaled | None] = {}
        slo_ms = tightest_ttft_ms(settings)
        for name, engine in settings.engines.items():
            section = engine.autoscale
            if section is None:
                continue
            ttft_ms = section.ttft_ms or slo_ms.get(name, USUAL_TTFT_MS)
            old = self._scaled.get(name)
            same = old is not None and (old.section, old.ttft_ms) == (section, ttft_ms)
            fresh[name] = None if same else _Scaled(section, ttft_ms, now)
            if len(fresh) % AT_ONCE == 0:
                yield
        group_of = {name: group for group in groups_of(settings) for name in group}
        yield
        before, self._scaled = self._scaled, {}
        for name, one in fresh.items():
            old = before.get(name)
            if old is not None and one is not None:
                one.traffic = old.traffic  # what runs is the same, whatever is wanted of it
                one.wakes = old.wakes
            kept = one or old
            assert kept is not None
            self._scaled[name] = kept
        for name in before.keys() - self._scaled.keys():
            self._actuator.release(name)
        self._group_of = group_of
        self._usd_per_hour = {name: engine.gpu_usd_per_hour or 0.0 for name, engine in settings.engines.items()}
        yield from self.telling_again()

    def telling_again(self) -> Iterator[None]:
        """There is a worker that has heard nothing yet: tell of all engines, in steps."""
        for one in self._scaled.values():
            one.told = None
        yield from self._telling()

    def _telling(self) -> Iterator[None]:
        """Tell what is new of all engines, in steps."""
        names = list(self._scaled)
        for start in range(0, len(names), AT_ONCE):
            yield
            self._tell_starts(self._monotonic(), names[start : start + AT_ONCE])

    async def look(self) -> None:
        """The loop's step."""
        if not self._scaled:
            return
        asked = list(self._scaled)
        told = await self._ask(asked)
        demands = {worker: {each.engine: each for each in every or ()} for worker, every in told.items()}
        rest = dict.fromkeys(asked)
        in_turn = 0
        while rest:
            if in_turn >= AT_ONCE:
                await own_turn()
                in_turn = 0
            # What is seen of a group is decided on in the same turn: in another its engines may have been woken, or
            # there may be other settings.
            first = next(iter(rest))
            group = [name for name in self._group_of.get(first, (first,)) if name in rest]
            for name in group:
                del rest[name]
            in_turn += len(group)
            self._look_at_group([name for name in group if name in self._scaled], told, demands)
        for _ in self._telling():
            await own_turn()

    def _look_at_group(
        self,
        group: Sequence[str],
        told: Mapping[str, Sequence[EngineDemand] | None],
        demands: Mapping[str, Mapping[str, EngineDemand]],
    ) -> None:
        """Look at engines that may do each other's work, and decide on them."""
        now, part = self._monotonic(), 1.0
        looks: dict[str, Signals] = {}
        for name in group:
            try:
                looks[name] = self._look_at(name, self._scaled[name], told, demands, now)
            except Exception as error:  # one engine's figures are no reason to scale no other
                log.error("autoscale_failed", engine=name, error=f"{type(error).__name__}: {error}", exc_info=error)
        every = list(looks.values())
        for name in self._cheapest_first(list(looks), now):
            try:
                part = self._decide(name, every, looks[name], part, now)
            except Exception as error:
                log.error("autoscale_failed", engine=name, error=f"{type(error).__name__}: {error}", exc_info=error)

    def _decide(self, name: str, every: Sequence[Signals], own: Signals, part: float, now: float) -> float:
        """Decide on that part of the traffic of `every` engine of a group; returns what is left to those after it."""
        one = self._scaled[name]
        signals = seen_by(own, every, part) if len(every) > 1 else own
        decision = one.scaler.decide(signals, one.bounds(self._wall()), now)
        self._act(name, one, decision, one.traffic.in_flight(), now)
        return left(part, decision.asked, own.ready)

    def _cheapest_first(self, names: Sequence[str], now: float) -> Sequence[str]:
        if len(names) < 2:
            return names
        pools: list[AlikePool] = []
        for name in names:
            standing, speed = self._actuator.standing(name, now), self._scaled[name].traffic.speed
            has = len(standing.ready) + len(standing.starting)
            pools.append(AlikePool(name, speed.prefill_tokens_per_s, self._usd_per_hour.get(name, 0.0), has))
        return cheapest_first(pools)

    def _look_at(
        self,
        name: str,
        one: _Scaled,
        told: Mapping[str, Sequence[EngineDemand] | None],
        by_engine: Mapping[str, Mapping[str, EngineDemand]],
        now: float,
    ) -> Signals:
        """What is seen of one engine. `by_engine` is what was `told`, by worker and engine."""
        demands = {worker: every[name] for worker, every in by_engine.items() if name in every}
        one.traffic.forget(told)
        if None not in told.values():  # one that is silent may still stream from what leaves
            self._retire(name, list(demands.values()))  # those that do not know the engine have no say
        standing = self._actuator.standing(name, now)
        self._measure(one, standing, now)
        kv = self._kv_usage(name, standing.ready)
        return one.traffic.signals(demands, standing, one.scaler.startup_s, kv, now, one.scaler.wake_s)

    def woken(self, engines: Sequence[str]) -> None:
        """Requests have come here for these, which have no replica."""
        for name in engines:
            if name in self._scaled:
                self._scaled[name].wakes += 1
        self.woken_elsewhere(engines)

    def wakes(self, engine: str) -> int:
        """How often that was so of one, ever: of a request that was refused at once no gateway hears in another way."""
        return self._scaled[engine].wakes if engine in self._scaled else 0

    def woken_elsewhere(self, engines: Sequence[str]) -> None:
        """The same at another gateway."""
        now, wall = self._monotonic(), self._wall()
        able = [name for name in engines if name in self._scaled and self._scaled[name].bounds(wall).most >= 1]
        for group in dict.fromkeys([self._group_of.get(name, (name,)) for name in able]):
            for name in self._cheapest_first([name for name in group if name in able], now):
                if self._wake(name, now):
                    break  # the dearer need not start
        self._tell_starts(now, engines)

    def _wake(self, name: str, now: float) -> bool:
        """Have one; returns whether it may be hoped for."""
        one = self._scaled[name]
        one.scaler.asked(now)
        standing = self._actuator.standing(name, now)
        if not standing.ready and not standing.starting:
            self._act(name, one, ScaleDecision(1, 0, Why.WOKEN, "a request waits"), one.traffic.in_flight(), now)
            return True
        return bool(standing.ready) or len(standing.failing) < len(standing.starting)

    # -- acting --------------------------------------------------------------------------------------------------------

    def _act(self, name: str, one: _Scaled, decision: ScaleDecision, in_flight: Mapping[str, int], now: float) -> None:
        one.last = decision
        if not self._actuator.acts(name):
            return  # another gateway does, which sees what we see
        if decision.changes:
            wall, why = self._wall(), decision.why.value
            at = wall.strftime("%Y-%m-%dT%H:%M:%SZ")
            told = Decided(at, name, decision.had, decision.wanted, why, decision.sentence)
            self._decided.decided(told, int(wall.timestamp() * 1000))
            log.info(
                "autoscaled", engine=name, had=decision.had, wanted=decision.wanted, why=why, because=decision.sentence
            )
        self._actuator.scale(name, decision.wanted, in_flight, now)

    def _retire(self, name: str, demands: list[EngineDemand]) -> None:
        """Those that leave and have nothing left, in any worker, may be stopped."""
        standing = self._actuator.standing(name, self._monotonic())
        elsewhere = self._busy(name) if standing.leaving and demands else None
        if elsewhere is None:
            return
        busy = {*elsewhere}
        drained: dict[str, int] = {}
        for demand in demands:
            for id, requests, drains in demand.replicas:
                if requests:
                    busy.add(id)
                if drains:
                    drained[id] = drained.get(id, 0) + 1
        idle = [id for id in standing.leaving if id not in busy and drained.get(id) == len(demands)]
        if idle:
            self._actuator.idle(name, idle)

    def _measure(self, one: _Scaled, standing: Standing, now: float) -> None:
        for id, since_s in one.started.items():
            if id in standing.ready and id not in standing.failing:
                (one.scaler.woken if id in one.waking else one.scaler.started)(now - since_s)
        one.started = {id: at for id, at in standing.starting.items() if id not in standing.failing}
        one.waking = frozenset(standing.waking)

    def _tell_starts(self, now: float, names: Iterable[str]) -> None:
        """What is new of these engines."""
        news: list[EngineStart] = []
        for name in names:
            one = self._scaled.get(name)
            if one is None:
                continue
            standing = self._actuator.standing(name, now)
            took_s, wake_s = one.scaler.startup_s, one.scaler.wake_s
            startup_s = wake_s if standing.asleep else took_s
            waits = [
                max(0.0, (wake_s if id in standing.waking else took_s) - (now - since_s))
                for id, since_s in standing.starting.items()
            ]
            failed = bool(standing.failing) and not standing.ready and len(standing.failing) == len(standing.starting)
            serves_in_s = standing.again_s if failed else min(waits, default=startup_s)
            start = EngineStart(name, serves_in_s, bool(standing.starting), failed)
            before = one.told
            if before is None or _news(start) != _news(before):
                news.append(start)
                one.told = start
        if news:
            self._tell(news)

    # -- showing -------------------------------------------------------------------------------------------------------

    def wanted(self) -> list[tuple[tuple[str], float]]:
        """How many replicas each engine should have."""
        return [((name,), float(one.last.wanted)) for name, one in self._scaled.items() if one.last is not None]

    def statuses(self) -> Iterator[dict[str, Any]]:
        """Each engine that follows its traffic, and why it has what it has. The loop may turn between two."""
        for name in list(self._scaled):
            if (one := self._scaled.get(name)) is not None:
                yield self._status(name, one, self._monotonic())

    def status(self) -> list[dict[str, Any]]:
        """All of them, as they are now."""
        return list(self.statuses())

    def decisions(self) -> list[Decided]:
        """The last of those that changed anything, the newest first."""
        return self._decided.last

    def _status(self, name: str, one: _Scaled, now: float) -> dict[str, Any]:
        standing, bounds, last = self._actuator.standing(name, now), one.bounds(self._wall()), one.last
        return {
            "engine": name,
            "min": bounds.least,
            "max": bounds.most,
            "wanted": last.wanted if last is not None else None,
            "ready": len(standing.ready),
            "starting": len(standing.starting),
            "draining": len(standing.leaving),
            "asleep": len(standing.asleep),
            "failing": len(standing.failing),
            "failure": standing.why,
            "problem": standing.problem,
            "acts": self._actuator.acts(name),
            "load": round(last.load, 3) if last is not None else None,
            "panics": last.panics if last is not None else False,
            "why": last.why.value if last is not None else "",
            "sentence": last.sentence if last is not None else "nothing has been decided yet",
            "startup_s": round(one.scaler.startup_s, 1),
            "wake_s": round(one.scaler.wake_s, 1) if one.section.sleep is not None else None,
        }


def _settings(section: AutoscaleSection, ttft_ms: float) -> AutoscaleSettings:
    return AutoscaleSettings(
        ttft_ms=ttft_ms,
        attainment=section.attainment,
        startup_s=section.startup_s or USUAL_STARTUP_S,
        seats=section.concurrency,
        down_after_s=section.down_after_s,
        zero_after_s=section.zero_after_s,
        wake_s=section.sleep.wake_s if section.sleep is not None else None,
    )


def _news(start: EngineStart) -> tuple[bool, bool, float]:
    """What of a start is told when it changes: each that fails has another pause after it, and one that is not begun
    may be a wake now. What is on its way needs no telling: time passes there too."""
    return start.starting, start.failed, start.serves_in_s if start.failed or not start.starting else 0.0
