"""vLLM's sleep mode before anything is stopped or started: an actuator over those that start and stop.

    fewer wanted   one drains; has it nothing left in any worker, it is put to sleep (`most` at once; whoever is too
                   many is left to the actuator below, which takes those that sleep first)
    more wanted    whoever drains serves again, then whoever sleeps is woken; only then is one started below
    every 2 s      each replica says whether it sleeps: somebody else may have put it to sleep, or woken it, and a
                   gateway that has just started knows nothing
    cannot sleep   it is stopped instead; where nobody can stop it, it stays without requests, and is tried again
    does not wake  another is woken or started in its place; one that was launched here is started anew

The truth is what a replica says. Of several gateways the Lease's holder acts, and the others see there whom to spare.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from typing import Any, Final

import structlog

from engines import sleeping
from engines.asking import Refused
from engines.errors import BadAnswer, EngineError, OutOfSockets
from engines.kinds.autoscaling import SleepSection
from engines.port import Engine, Spawn
from gateway import clock
from gateway.control.pacing import paced
from gateway.control.scaling.actuator import Actuator, Standing
from gateway.control.scaling.cluster.workloads import sleep_place
from gateway.control.scaling.greeted import Greeted
from gateway.control.scaling.sleep_ports import Leadership, Roll, Servers
from gateway.control.scaling.sleepers import AGAIN_S, MOST_MOVE_S, Phase, Sleeper, Sleepers, tell_short
from gateway.settings import Settings
from routing.autoscale.removal import Removable, removed

EVERY_S: Final = 2.0
LEAST_WAKE_S: Final = 60.0
MOST_WAKES: Final = 10.0
"""Times `wake_s`, but `LEAST_WAKE_S` at least: a wake that takes longer has failed."""

log = structlog.get_logger()


class SleepScaling:
    """Satisfies `gateway.control.scaling.actuator.Actuator`, over another one."""

    def __init__(
        self,
        inner: Actuator,
        spawn: Spawn,
        roll: Roll,
        leadership: Leadership,
        servers: Servers,
        counted: Callable[[str, str], None] = lambda _engine, _result: None,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """`inner` starts and stops; `counted` is told the engine and the result of each sleep and wake."""
        self._inner = inner
        self._spawn = spawn
        self._roll = roll
        self._leadership = leadership
        self._servers = servers
        self._counted = counted
        self._monotonic = monotonic
        self._engines: dict[str, Sleepers] = {}
        self._ending: dict[str, Sleepers] = {}
        """Engines that are to sleep no more, until the last of their replicas is awake."""
        self._greeted = Greeted(spawn, lambda engine: servers.engine(engine) is not None, self._ask_new)

    def use(self, settings: Settings) -> None:
        """These settings are in use soon: before the replicas that they name are known, so that new ones are greeted.
        Where nothing sleeps any more, all are woken."""
        wanted: dict[str, tuple[SleepSection, bool]] = {}
        for name, engine in settings.engines.items():
            if engine.autoscale is not None and engine.autoscale.sleep is not None:
                workload = engine.autoscale.kubernetes
                wanted[name] = engine.autoscale.sleep, workload is None or workload.deletion_cost
        for name in self._engines.keys() - wanted.keys():
            self._roll.greet(name, None)
            self._ending[name] = self._engines.pop(name)
            self._let_go(name, self._ending[name])
        for name, (section, chosen) in wanted.items():
            if name not in self._engines:
                self._engines[name] = self._ending.pop(name) if name in self._ending else Sleepers(section)
                self._roll.greet(name, functools.partial(self._greet, name))
            self._engines[name].section, self._engines[name].chosen = section, chosen

    # -- the port ------------------------------------------------------------------------------------------------------

    def acts(self, engine: str) -> bool:
        return self._inner.acts(engine)

    def standing(self, engine: str, now: float) -> Standing:
        inner, one = self._inner.standing(engine, now), self._engines.get(engine)
        if one is None:
            return inner
        one.keep(self._roll.found(engine).there)
        self._follow(engine, one, now)
        return one.standing(inner, now)

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        one = self._engines.get(engine)
        if one is None:
            self._inner.scale(engine, wanted, in_flight, now)
            return
        one.keep(self._roll.found(engine).there)
        self._follow(engine, one, now)
        inner = self._inner.standing(engine, now)
        ready = [id for id in inner.ready if id not in one.by_id]
        below = len(inner.ready) + len(inner.starting)
        missing = wanted - len(ready) - len(inner.starting) - len(one.coming)
        unknown = len([id for id in one.of(Phase.UNKNOWN) if id in inner.ready])
        if missing > unknown:  # nobody is started for one that will soon say that it is awake
            below += self._more(engine, one, inner, missing - unknown, now)
        elif missing < 0:
            below -= self._fewer(engine, one, inner, ready, -missing, in_flight, now)
        stops = one.chosen and not self._servers.fixed(engine)  # another that serves might be stopped in their place
        if stops:
            resting = one.resting(inner)
            awake = [id for id in resting if one.by_id[id].phase in (Phase.DRAINING, Phase.PARKED)]
            below -= max(len(resting) - one.section.most, len(awake) if one.unable(now) else 0, 0)
        costs = {Phase.FALLING: -1, Phase.ASLEEP: -1, Phase.PARKED: -2}  # who cannot sleep goes first
        nobodys = {id: costs[one.by_id[id].phase] for id in one.resting(inner) if one.by_id[id].phase in costs}
        self._inner.scale(engine, below, {**in_flight, **nobodys}, now)
        for id in one.of(Phase.PARKED):
            if one.by_id[id].again_s <= now and not stops:
                self._fall(engine, one, id)
        self._tell(engine, one)

    def idle(self, engine: str, ids: Collection[str]) -> None:
        one = self._engines.get(engine)
        draining = set(one.of(Phase.DRAINING)) & set(ids) if one is not None else set[str]()
        if one is not None and self._inner.acts(engine):
            for id in sorted(draining):
                self._fall(engine, one, id)
            self._tell(engine, one)
        self._inner.idle(engine, [id for id in ids if id not in draining])

    def release(self, engine: str) -> None:
        one = self._engines.get(engine)
        if one is not None:
            self._let_go(engine, one)
        self._inner.release(engine)

    # -- more and fewer ------------------------------------------------------------------------------------------------

    def _more(self, engine: str, one: Sleepers, inner: Standing, missing: int, now: float) -> int:
        """Have so many more that are there; returns how many have to be started."""
        for id in (*one.of(Phase.PARKED), *one.of(Phase.DRAINING)):
            if missing and id in inner.ready:
                self._awake(engine, one, id)
                missing -= 1
        for id in one.to_wake(inner, now)[:missing]:
            self._begin_wake(engine, one, id, now)
            missing -= 1
        for id in one.of(Phase.FALLING):
            if missing and not one.by_id[id].back:
                one.by_id[id].back = True
                missing -= 1
        return missing

    def _fewer(
        self,
        engine: str,
        one: Sleepers,
        inner: Standing,
        ready: Collection[str],
        excess: int,
        in_flight: Mapping[str, int],
        now: float,
    ) -> int:
        """Have so many sleep; returns how many are to be given up below. One that is waking is waited for."""
        starting = min(excess, len(inner.starting))
        excess -= starting
        if one.unable(now) and not self._servers.fixed(engine) and (one.chosen or not one.resting(inner)):
            return starting + min(excess, len(ready))
        for id in removed([Removable(id, True, in_flight.get(id, 0)) for id in ready], excess):
            one.by_id[id] = Sleeper(Phase.DRAINING, now)
            self._roll.rest(engine, id, "draining")
        return starting

    def _awake(self, engine: str, one: Sleepers, id: str) -> None:
        one.by_id.pop(id, None)
        self._roll.rest(engine, id)

    def _let_go(self, engine: str, one: Sleepers) -> None:
        """All that are kept from requests take some again, once they are awake."""
        now = self._monotonic()
        for id in (*one.of(Phase.DRAINING), *one.of(Phase.PARKED), *one.of(Phase.UNKNOWN)):
            self._awake(engine, one, id)
        if self._servers.launched(engine) or self._leadership.leads:
            for id in one.of(Phase.ASLEEP):
                self._begin_wake(engine, one, id, now)
        for id in one.of(Phase.FALLING):
            one.by_id[id].back = True

    # -- asleep --------------------------------------------------------------------------------------------------------

    def _fall(self, engine: str, one: Sleepers, id: str) -> None:
        sleeper = one.by_id[id]
        sleeper.phase, sleeper.since_s = Phase.FALLING, self._monotonic()
        self._spawn(f"sleep of {id}", functools.partial(self._put_to_sleep, engine, one, id, sleeper))

    async def _put_to_sleep(self, engine: str, one: Sleepers, id: str, sleeper: Sleeper) -> None:
        client, why = self._servers.engine(engine), ""
        if client is None:  # its engine was taken out of the configuration
            one.by_id.pop(id, None)
            return
        level: int = one.section.level
        try:
            await sleeping.sleep(client, id, level)
        except OutOfSockets as error:
            self._short(engine, one, id, sleeper, Phase.DRAINING, error)
            return
        except EngineError as error:
            why = str(error) or type(error).__name__
            if await sleeping.asleep_if_told(client, id):
                why = ""
        if one.by_id.get(id) is not sleeper:
            return  # it has left
        if why:
            now, back = self._monotonic(), sleeper.back
            one.cannot(f"{id} cannot be put to sleep: {why}", now)
            sleeper.failed(Phase.PARKED, "", now)
            log.error("replica_does_not_sleep", engine=engine, replica=id, why=why)
            self._counted(engine, "sleep_failed")
            if back:
                self._awake(engine, one, id)
            return
        self._sleeps_now(engine, one, id, level)
        self._counted(engine, "slept")
        log.info("replica_sleeps", engine=engine, replica=id, level=level)
        if sleeper.back:
            self._begin_wake(engine, one, id, self._monotonic())

    def _sleeps_now(self, engine: str, one: Sleepers, id: str, level: int | None) -> None:
        one.by_id[id] = Sleeper(Phase.ASLEEP, self._monotonic(), level)
        self._roll.rest(engine, id, "asleep")
        self._servers.emptied(engine, id)

    # -- awake ---------------------------------------------------------------------------------------------------------

    def _begin_wake(self, engine: str, one: Sleepers, id: str, now: float) -> None:
        sleeper = one.by_id[id]
        sleeper.phase, sleeper.since_s = Phase.WAKING, now
        self._spawn(f"wake of {id}", functools.partial(self._wake, engine, one, id, sleeper))

    async def _wake(self, engine: str, one: Sleepers, id: str, sleeper: Sleeper) -> None:
        client, why = self._servers.engine(engine), ""
        if client is None:  # its engine was taken out of the configuration
            one.by_id.pop(id, None)
            return
        reload = await self._reloads(one, client, id, sleeper)
        most_s = max(LEAST_WAKE_S, MOST_WAKES * one.section.wake_s, sleeping.MOVES.first_byte_s if reload else 0.0)
        try:
            async with asyncio.timeout(most_s):
                await sleeping.wake(client, id, reload=reload)
        except OutOfSockets as error:
            self._short(engine, one, id, sleeper, Phase.ASLEEP, error)
            return
        except (EngineError, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            why = f"it is not awake after {most_s:.0f} s" if late else str(error) or type(error).__name__
            if await sleeping.asleep_if_told(client, id) is False:
                why = ""
        if one.by_id.get(id) is not sleeper:
            return
        if not why:
            self._awake(engine, one, id)
            self._counted(engine, "woken")
            log.info("replica_wakes", engine=engine, replica=id)
        else:
            sleeper.failed(Phase.ASLEEP, f"{id} does not wake: {why}", self._monotonic())
            self._counted(engine, "wake_failed")
            log.error("replica_does_not_wake", engine=engine, replica=id, why=why)
            if self._servers.launched(engine):
                self._servers.restart(engine, id)
        self._tell(engine, one)

    async def _reloads(self, one: Sleepers, client: Engine, id: str, sleeper: Sleeper) -> bool:
        """Whether its weights have to be loaded again. Without them it would answer rubbish, so rather once more."""
        if sleeper.level is not None:
            return sleeper.level == 2
        try:
            return one.section.level == 2 or await sleeping.discarded(client, id)
        except EngineError:
            return one.section.level == 2

    def _short(self, engine: str, one: Sleepers, id: str, it: Sleeper, phase: Phase, error: OutOfSockets) -> None:
        """We could not ask it, which says nothing of it: it is in this phase again, as before."""
        self._counted(engine, "shortage")
        tell_short(str(error))
        if one.by_id.get(id) is it:
            it.phase, it.since_s, it.again_s = phase, self._monotonic(), self._monotonic() + EVERY_S
            if it.back and phase is Phase.DRAINING:
                self._awake(engine, one, id)
            self._tell(engine, one)

    # -- what replicas say ---------------------------------------------------------------------------------------------

    def _greet(self, engine: str, id: str) -> None:
        """One has come. It gets nothing until it has said that it is awake; what we have just launched is."""
        one = self._engines.get(engine)
        if one is None or self._servers.launched(engine):
            return
        one.by_id[id] = Sleeper(Phase.UNKNOWN, self._monotonic())
        self._roll.rest(engine, id, "draining")
        self._greeted.add(engine, id)

    async def _ask_new(self, engine: str, id: str) -> None:
        if (one := self._engines.get(engine)) is not None:
            await self._ask(engine, one, id)

    async def look(self) -> None:
        """The step of the loop."""
        await self._greeted.look()
        await paced(self._questions())
        now = self._monotonic()
        for engine, one in list(self._ending.items()):
            one.keep(self._roll.found(engine).there)
            if not one.by_id or self._servers.engine(engine) is None:
                del self._ending[engine]
            elif self._servers.launched(engine) or self._leadership.leads:
                for id in one.of(Phase.ASLEEP):
                    if one.by_id[id].again_s <= now:
                        self._begin_wake(engine, one, id, now)

    def _questions(self) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        for engine, one in list(self._ending.items()):
            for id in [id for id in self._roll.found(engine).there if id in one.by_id]:
                yield functools.partial(self._ask, engine, one, id)
        for engine, one in list(self._engines.items()):
            yield from self._greeted.questions()
            self._follow(engine, one, self._monotonic())
            for id in list(self._roll.found(engine).there):
                yield functools.partial(self._ask, engine, one, id)

    async def _ask(self, engine: str, one: Sleepers, id: str) -> None:
        client, before = self._servers.engine(engine), one.by_id.get(id)
        phase = before.phase if before is not None else None
        elsewhere = before is not None and before.elsewhere
        if client is None or (phase in (Phase.FALLING, Phase.WAKING) and not elsewhere):
            return
        try:
            sleeps = await sleeping.asleep(client, id)
        except Refused as error:
            sleeps = False
            if error.status == 404:
                now = self._monotonic()
                if not one.unable(now):
                    log.error("replica_does_not_sleep", engine=engine, replica=id, why=str(error))
                one.cannot(f"{id} cannot sleep: {error}", now)
        except EngineError as error:
            if before is None or phase is not Phase.UNKNOWN or isinstance(error, OutOfSockets):
                return  # probes say whether it is well
            if not isinstance(error, BadAnswer) and self._monotonic() - before.since_s < AGAIN_S:
                return
            sleeps, why = False, str(error) or type(error).__name__
            log.error("replica_does_not_say_whether_it_sleeps", engine=engine, replica=id, why=why)
        after = one.by_id.get(id)
        if after is not before or (after is not None and after.phase is not phase):
            return  # something was done meanwhile, and this is older
        if sleeps and phase is not Phase.ASLEEP:
            self._sleeps_now(engine, one, id, None)
            log.info("replica_found_asleep", engine=engine, replica=id)
            if before is not None and before.back and self._inner.acts(engine):
                self._begin_wake(engine, one, id, self._monotonic())
        elif not sleeps and (phase in (Phase.ASLEEP, Phase.UNKNOWN) or (elsewhere and self._stuck(engine, one, id))):
            self._awake(engine, one, id)
            self._follow(engine, one, self._monotonic())  # whoever acts may have told of it
            if phase is Phase.ASLEEP:
                log.info("replica_found_awake", engine=engine, replica=id)

    # -- other gateways ------------------------------------------------------------------------------------------------

    def _tell(self, engine: str, one: Sleepers) -> None:
        if self._inner.acts(engine) and not self._servers.launched(engine):
            self._leadership.tell(sleep_place(engine), *one.told())

    def _stuck(self, engine: str, one: Sleepers, id: str) -> bool:
        """Whether nobody is left who has it fall asleep, or wakes it."""
        follows = engine in self._engines and not self._inner.acts(engine)
        it = one.by_id[id]  # one that was being woken and does not sleep is awake
        return not follows and (it.phase is Phase.WAKING or self._monotonic() - it.since_s >= MOST_MOVE_S)

    def _follow(self, engine: str, one: Sleepers, now: float) -> None:
        if engine not in self._engines or self._servers.launched(engine):
            return
        acted, one.acted = one.acted, self._inner.acts(engine)
        if acted and one.acted:
            return  # whoever takes over goes on from what the one before has told
        there = self._roll.found(engine).there
        leaving, moved = self._leadership.told(sleep_place(engine))
        new, over = one.follow([id for id in leaving if id in there], [id for id in moved if id in there], now)
        for id in new:
            self._roll.rest(engine, id, "draining")
        for id in over:
            self._roll.rest(engine, id)
