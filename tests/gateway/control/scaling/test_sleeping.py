"""Sleep and wake before anything is stopped or started: servers of paper, and an actuator below of paper."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from engines.errors import ConnectionLost, OutOfSockets
from engines.port import Outgoing
from gateway.control.membership import Found
from gateway.control.scaling.actuator import Standing
from gateway.control.scaling.sleepers import AGAIN_S
from gateway.control.scaling.sleeping import SleepScaling
from gateway.refusing import shortage
from gateway.settings import load_settings

pytestmark = pytest.mark.anyio

WRITTEN = ", ".join(f'{{url: "http://10.0.0.1:800{n}", id: e-{n}}}' for n in range(4))
PLAIN = "max: 4"


def settings(sleep: str = "level: 1", *, launched: bool = False) -> Any:
    asleep = f", sleep: {{{sleep}}}" if sleep else ""
    servers = "launch: {model: m}" if launched else f"replicas: [{WRITTEN}]"
    autoscale = "" if not sleep and not launched else f", autoscale: {{min: 0, max: 4{asleep}}}"
    return load_settings(
        f"engines: {{e: {{kind: vllm, {servers}{autoscale}}}}}\nmodels: {{m: {{targets: [{{engine: e}}]}}}}\n", {}
    ).settings


class Server:
    """What the replicas of one engine say and do."""

    def __init__(self) -> None:
        self.levels: dict[str, int] = {}
        """Of those that sleep."""
        self.asked: list[tuple[str, str]] = []
        self.fails: dict[str, int | None] = {}
        """By path without its query: a status, or None for no answer."""
        self.short = False
        """Whether we can open no connection to it."""
        self.sleep_mode: bool | None = None
        """What its configuration says of it; None: it tells nobody."""
        self.odd: set[str] = set()
        """Those before which a proxy answers with a page."""
        self.gate: asyncio.Event | None = None
        """What answers to sleep and wake wait for."""

    def send(self, replica_id: str, outgoing: Outgoing, deadlines: object, sink: Any) -> Any:
        path, _, query = outgoing.path.partition("?")
        if self.short:
            sink.failed(OutOfSockets("no descriptor is left"))
            return self
        if path not in ("/is_sleeping", "/server_info"):
            self.asked.append((replica_id, outgoing.path))
        self._answer(replica_id, path, query, sink)
        return self

    def _answer(self, replica_id: str, path: str, query: str, sink: Any) -> None:
        if path == "/is_sleeping" and replica_id in self.odd:
            sink.head(200, ())
            sink.data(b"<html>")
            sink.done()
            return
        if path in self.fails:
            status = self.fails[path]
            if status is None:
                sink.failed(ConnectionLost("silence"))
            else:
                sink.head(status, ())
                sink.data(b"no")
                sink.done()
            return
        body = b""
        match path:
            case "/sleep":
                self.levels[replica_id] = int(query[len("level=")])
            case "/wake_up" if query != "tags=weights":
                self.levels.pop(replica_id, None)
            case "/is_sleeping":
                body = json.dumps({"is_sleeping": replica_id in self.levels}).encode()
            case "/server_info" if self.sleep_mode is not None:
                body = json.dumps({"vllm_config": {"model_config": {"enable_sleep_mode": self.sleep_mode}}}).encode()
            case "/metrics":
                on = float(self.levels.get(replica_id) == 2)
                body = f'vllm:engine_sleep_state{{engine="0",sleep_state="discard_all"}} {on}\n'.encode()
        sink.head(200, ())
        sink.data(body)
        sink.done()

    def abort(self) -> None: ...

    def moves(self) -> list[tuple[str, str]]:
        """What was asked of whom since the last time."""
        asked, self.asked = self.asked, []
        return asked


class Roll:
    def __init__(self, count: int) -> None:
        self.there = [f"e-{n}" for n in range(count)]
        self.states: dict[str, str] = {}
        self.greets: Callable[[str], None] | None = None

    def found(self, engine: str) -> Found:
        return Found(self.there, (), self.there)

    def rest(self, engine: str, replica: str, state: str = "") -> bool:
        self.states[replica] = state
        return True

    def greet(self, engine: str, told: Callable[[str], None] | None) -> None:
        self.greets = told

    def resting(self) -> dict[str, str]:
        return {id: state for id, state in self.states.items() if state}


class Below:
    """The actuator that starts and stops."""

    def __init__(self, roll: Roll) -> None:
        self.roll = roll
        self.starting: dict[str, float] = {}
        self.scaled: list[int] = []
        self.in_flight: Mapping[str, int] = {}
        self.stopped: list[str] = []
        self.acting = True

    def acts(self, engine: str) -> bool:
        return self.acting

    def standing(self, engine: str, now: float) -> Standing:
        return Standing(ready=[*self.roll.there], starting=self.starting)

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        self.scaled.append(wanted)
        self.in_flight = in_flight

    def idle(self, engine: str, ids: Collection[str]) -> None:
        self.stopped += ids

    def release(self, engine: str) -> None: ...


class Lease:
    def __init__(self) -> None:
        self.leaving: dict[str, list[str]] = {}
        self.going: dict[str, list[str]] = {}
        self.leads = True

    def told(self, engine: str) -> tuple[Collection[str], Collection[str]]:
        return self.leaving.get(engine, []), self.going.get(engine, [])

    def tell(self, engine: str, leaving: Collection[str], going: Collection[str]) -> None:
        self.leaving[engine], self.going[engine] = [*leaving], [*going]


class Bench:
    def __init__(self, count: int = 4, *, launched: bool = False, sleep: str = "level: 1", fixed: bool = True) -> None:
        self.now = 100.0
        self.server = Server()
        self.roll = Roll(count)
        self.below = Below(self.roll)
        self.lease = Lease()
        self.results: list[str] = []
        self.emptied_: list[str] = []
        self.restarted: list[str] = []
        self._launched = launched
        self._fixed = fixed and not launched
        self.in_use = True
        """Whether the engine can be asked by now."""
        self._works: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.scaling = SleepScaling(
            self.below,
            lambda _, work: self._works.append(work),
            self.roll,
            self.lease,
            self,
            lambda _, result: self.results.append(result),
            lambda: self.now,
        )
        self.scaling.use(settings(sleep, launched=launched))

    # What is behind the names.

    def engine(self, name: str) -> Any:
        return self.server if self.in_use else None

    def launched(self, engine: str) -> bool:
        return self._launched

    def fixed(self, engine: str) -> bool:
        return self._fixed

    def restart(self, engine: str, replica: str) -> None:
        self.restarted.append(replica)
        self.roll.there.remove(replica)

    def emptied(self, engine: str, replica: str) -> None:
        self.emptied_.append(replica)

    # What happens.

    async def settle(self) -> None:
        while self._works:
            works, self._works = self._works, []
            await asyncio.gather(*(work() for work in works))

    def scale(self, wanted: int, **in_flight: int) -> None:
        self.now += 2.0
        self.scaling.scale("e", wanted, {id.replace("_", "-"): n for id, n in in_flight.items()}, self.now)

    @property
    def standing(self) -> Standing:
        return self.scaling.standing("e", self.now)

    async def sleeping(self, wanted: int, **in_flight: int) -> None:
        """So many are left awake, and the others sleep."""
        self.scale(wanted, **in_flight)
        self.scaling.idle("e", [*self.standing.leaving])
        await self.settle()


async def test_what_is_not_needed_drains_and_then_sleeps_and_gets_no_request_meanwhile() -> None:
    bench = Bench()
    bench.scale(2, e_0=5, e_3=1)
    assert bench.roll.resting() == {"e-1": "draining", "e-2": "draining"}
    assert (sorted(bench.standing.ready), sorted(bench.standing.leaving)) == (["e-0", "e-3"], ["e-1", "e-2"])
    assert bench.server.moves() == [], "nobody is put to sleep who may have something left"
    bench.scaling.idle("e", ["e-1"])
    await bench.settle()
    assert bench.server.moves() == [("e-1", "/sleep?level=1&mode=wait")]
    assert bench.roll.resting() == {"e-1": "asleep", "e-2": "draining"}
    assert (bench.standing.asleep, bench.standing.leaving) == (["e-1"], ["e-2"])
    assert (bench.results, bench.emptied_, bench.below.stopped) == (["slept"], ["e-1"], [])


async def test_whoever_drains_serves_again_before_anybody_is_woken_and_that_before_any_is_started() -> None:
    bench = Bench(fixed=False)
    await bench.sleeping(3)
    bench.scale(2)
    assert (bench.standing.asleep, bench.standing.leaving) == (["e-0"], ["e-1"])
    bench.scale(3)
    assert (bench.standing.asleep, bench.standing.leaving, bench.server.moves()[1:]) == (["e-0"], [], [])
    bench.scale(4)
    assert (bench.standing.waking, dict(bench.standing.starting)) == (["e-0"], {"e-0": bench.now})
    assert bench.below.scaled[-1] == 4, "what sleeps is there, so nothing is started for it"
    assert bench.roll.resting() == {"e-0": "asleep"}, "until it is awake"
    await bench.settle()
    assert bench.server.moves() == [("e-0", "/wake_up")]
    assert (len(bench.standing.ready), bench.roll.resting()) == (4, {})
    bench.scale(6)
    assert bench.below.scaled[-1] == 6
    assert bench.results == ["slept", "woken"]


async def test_more_are_wanted_while_one_falls_asleep_and_it_wakes_as_soon_as_it_sleeps() -> None:
    bench = Bench(2)
    bench.scale(1)
    bench.scaling.idle("e", ["e-0"])
    bench.scale(2)
    assert bench.standing.waking == ["e-0"]
    await bench.settle()
    assert bench.server.moves() == [("e-0", "/sleep?level=1&mode=wait"), ("e-0", "/wake_up")]
    assert sorted(bench.standing.ready) == ["e-0", "e-1"]


async def test_weights_that_were_discarded_are_loaded_before_a_request_comes() -> None:
    bench = Bench(1, sleep="level: 2")
    await bench.sleeping(0)
    bench.scale(1)
    await bench.settle()
    assert [path for _, path in bench.server.moves()] == [
        "/sleep?level=2&mode=wait",
        "/wake_up?tags=weights",
        "/collective_rpc",
        "/wake_up?tags=kv_cache",
    ]
    assert bench.standing.ready == ["e-0"]


@pytest.mark.parametrize(("level", "reloads"), [(1, False), (2, True)])
async def test_a_gateway_that_has_just_started_finds_out_who_sleeps_and_how_deeply(level: int, reloads: bool) -> None:
    bench = Bench(1)
    bench.server.levels["e-0"] = level
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    assert (bench.roll.resting(), bench.standing.ready, bench.standing.asleep) == ({"e-0": "draining"}, [], [])
    await bench.settle()
    assert (bench.roll.resting(), bench.standing.asleep) == ({"e-0": "asleep"}, ["e-0"])
    bench.scale(1)
    await bench.settle()
    assert (("e-0", "/collective_rpc") in bench.server.moves()) is reloads
    assert bench.standing.ready == ["e-0"]


async def test_one_that_comes_awake_serves_as_soon_as_it_has_said_so() -> None:
    bench = Bench(1)
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    assert bench.standing.ready == []
    await bench.settle()
    assert (bench.standing.ready, bench.roll.resting()) == (["e-0"], {})


async def test_one_that_comes_before_its_engine_can_be_asked_is_asked_in_the_next_look() -> None:
    bench = Bench(1)
    bench.in_use = False
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    await bench.settle()
    assert bench.standing.ready == []
    bench.in_use = True
    await bench.scaling.look()
    assert (bench.standing.ready, bench.roll.resting()) == (["e-0"], {})


async def test_what_was_launched_here_is_awake_when_it_comes() -> None:
    bench = Bench(1, launched=True)
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    assert (bench.standing.ready, bench.roll.states) == (["e-0"], {})


async def test_somebody_else_may_put_one_to_sleep_and_wake_it() -> None:
    bench = Bench(2)
    bench.server.levels["e-1"] = 1
    await bench.scaling.look()
    assert (bench.standing.ready, bench.standing.asleep) == (["e-0"], ["e-1"])
    assert bench.roll.resting() == {"e-1": "asleep"}
    bench.server.levels.clear()
    await bench.scaling.look()
    assert (len(bench.standing.ready), bench.roll.resting()) == (2, {})


async def test_a_replica_that_says_nothing_is_taken_as_it_was() -> None:
    bench = Bench(2)
    await bench.sleeping(1)
    bench.server.fails["/is_sleeping"] = None
    await bench.scaling.look()
    assert (bench.standing.ready, bench.standing.asleep) == (["e-1"], ["e-0"])


async def test_one_that_cannot_sleep_is_stopped_instead() -> None:
    bench = Bench(2, fixed=False)
    bench.server.fails["/sleep"] = 500
    await bench.sleeping(1)
    assert "e-0 cannot be put to sleep: /sleep?level=1&mode=wait is answered with 500: no" in bench.standing.problem
    bench.scale(1)
    assert (bench.below.scaled[-1], bench.below.in_flight) == (1, {"e-0": -2})
    assert (bench.results, bench.roll.resting()) == (["sleep_failed"], {"e-0": "draining"})
    bench.scale(0)
    assert bench.below.scaled[-1] == 0, "nobody else is tried for a while"
    assert bench.server.moves() == [("e-0", "/sleep?level=1&mode=wait")]


@pytest.mark.parametrize("fixed", [False, True])
async def test_for_want_of_our_own_descriptors_nobody_is_stopped_in_place_of_falling_asleep(fixed: bool) -> None:
    shortage.over()
    bench = Bench(2, fixed=fixed)
    bench.server.short = True
    with capture_logs() as logs:
        await bench.sleeping(1)
        await bench.sleeping(1)
    assert [line["event"] for line in logs] == ["out_of_sockets"]
    assert (bench.results, bench.standing.problem, bench.standing.leaving) == (["shortage"] * 2, "", ["e-0"])
    assert set(bench.below.scaled) == {2}
    bench.server.short = False
    await bench.sleeping(1)
    assert (bench.standing.asleep, bench.results[2:]) == (["e-0"], ["slept"])
    shortage.over()


async def test_for_want_of_our_own_descriptors_nobody_is_started_anew_in_place_of_waking() -> None:
    bench = Bench(2, launched=True)
    await bench.sleeping(1)
    bench.server.short = True
    bench.scale(2)
    await bench.settle()
    assert (bench.restarted, bench.results, bench.standing.asleep) == ([], ["slept", "shortage"], ["e-0"])
    bench.server.short = False
    bench.scale(2)
    await bench.settle()
    assert (bench.restarted, sorted(bench.standing.ready), bench.results[2:]) == ([], ["e-0", "e-1"], ["woken"])
    shortage.over()


async def test_one_that_is_wanted_back_serves_when_it_could_not_be_asked_to_sleep() -> None:
    bench = Bench(2)
    bench.scale(1)
    bench.scaling.idle("e", ["e-0"])
    bench.scale(2)
    bench.server.short = True
    await bench.settle()
    assert (sorted(bench.standing.ready), bench.roll.resting()) == (["e-0", "e-1"], {})
    shortage.over()


async def test_where_nobody_can_stop_it_it_stays_without_requests_and_is_tried_again() -> None:
    bench = Bench(2)
    bench.server.fails["/sleep"] = 500
    await bench.sleeping(1)
    bench.server.moves()
    bench.scale(1)
    await bench.settle()
    assert (bench.server.moves(), bench.standing.ready, bench.roll.resting()) == ([], ["e-1"], {"e-0": "draining"})
    bench.server.fails.clear()
    bench.now += AGAIN_S
    bench.scale(1)
    await bench.settle()
    assert (bench.standing.asleep, bench.standing.problem, bench.roll.resting()) == (["e-0"], "", {"e-0": "asleep"})
    bench.scale(2)
    await bench.settle()
    assert sorted(bench.standing.ready) == ["e-0", "e-1"]


async def test_one_that_could_not_be_put_to_sleep_serves_at_once_when_it_is_wanted() -> None:
    bench = Bench(2)
    bench.server.fails["/sleep"] = None
    bench.server.fails["/is_sleeping"] = None
    await bench.sleeping(1)
    bench.scale(2)
    assert (sorted(bench.standing.ready), bench.roll.resting()) == (["e-0", "e-1"], {})


async def test_a_sleep_without_an_answer_has_come_all_the_same_where_the_replica_says_so() -> None:
    bench = Bench(2)
    bench.server.fails["/sleep"] = None
    bench.server.levels["e-0"] = 1
    await bench.sleeping(1)
    assert (bench.standing.asleep, bench.results) == (["e-0"], ["slept"])


async def test_servers_without_the_development_mode_are_told_to_the_operator() -> None:
    bench = Bench(2, fixed=False)
    bench.server.fails["/is_sleeping"] = 404
    await bench.scaling.look()
    assert bench.standing.problem.endswith(" cannot sleep: /is_sleeping is answered with 404: no")
    assert bench.standing.ready == ["e-0", "e-1"]
    bench.scale(1)
    assert (bench.below.scaled[-1], bench.roll.resting()) == (1, {})


async def test_servers_that_would_only_say_that_they_sleep_are_not_put_to_sleep() -> None:
    bench = Bench(2, fixed=False)
    bench.server.sleep_mode = False
    await bench.sleeping(1)
    assert (bench.server.moves(), bench.results) == ([], ["sleep_failed"])
    assert bench.standing.problem.endswith(
        " cannot be put to sleep: it runs without --enable-sleep-mode, so that it would keep its memory"
    )
    bench.scale(1)
    assert bench.below.scaled[-1] == 1, "it is stopped instead"


async def test_one_that_does_not_wake_is_passed_over_for_another_and_tried_again_later() -> None:
    bench = Bench(3)
    await bench.sleeping(1)
    bench.server.moves()
    bench.server.fails["/wake_up"] = 500
    bench.scale(2)
    await bench.settle()
    bench.server.fails.clear()
    bench.scale(2)
    await bench.settle()
    assert [id for id, _ in bench.server.moves()] == ["e-0", "e-1"]
    assert (sorted(bench.standing.ready), bench.standing.asleep) == (["e-1", "e-2"], ["e-0"])
    assert "e-0 does not wake: /wake_up is answered with 500: no" in bench.standing.problem
    bench.scale(3)
    assert bench.server.moves() == []
    bench.now += AGAIN_S
    bench.scale(3)
    await bench.settle()
    assert len(bench.standing.ready) == 3
    assert bench.results == ["slept", "slept", "wake_failed", "woken", "woken"]


async def test_where_nobody_serves_and_none_wakes_it_is_a_start_that_failed() -> None:
    bench = Bench(1)
    await bench.sleeping(0)
    bench.server.fails["/wake_up"] = 500
    bench.scale(1)
    await bench.settle()
    standing = bench.standing
    assert (list(standing.starting), standing.failing, standing.again_s) == (["e-0"], ["e-0"], AGAIN_S)
    assert standing.why.startswith("e-0 does not wake: ")


async def test_a_wake_without_an_answer_has_come_all_the_same_where_the_replica_says_so() -> None:
    bench = Bench(1)
    await bench.sleeping(0)
    bench.server.fails["/wake_up"] = None
    bench.server.levels.clear()
    bench.scale(1)
    await bench.settle()
    assert (bench.standing.ready, bench.results[-1]) == (["e-0"], "woken")


async def test_one_that_was_launched_here_and_does_not_wake_is_started_anew() -> None:
    bench = Bench(2, launched=True)
    await bench.sleeping(1)
    bench.server.fails["/wake_up"] = 500
    bench.scale(2)
    await bench.settle()
    assert (bench.restarted, bench.standing.ready, bench.standing.asleep) == (["e-0"], ["e-1"], [])
    bench.scale(2)
    assert bench.below.scaled[-1] == 2, "there is one, and one more is wanted"


async def test_no_more_than_so_many_sleep_and_those_too_many_are_given_up() -> None:
    bench = Bench(4, launched=True, sleep="level: 1, most: 1")
    await bench.sleeping(3)
    bench.scale(1)
    assert bench.below.scaled[-1] == 2, "two go, one that sleeps among them"
    assert bench.below.in_flight == {"e-0": -1}


async def test_one_that_has_left_while_it_fell_asleep_is_nobodys_business() -> None:
    bench = Bench(2)
    bench.scale(1)
    bench.scaling.idle("e", ["e-0"])
    bench.roll.there.remove("e-0")
    assert bench.standing.ready == ["e-1"]
    await bench.settle()
    assert (bench.standing.asleep, bench.results) == ([], [])


async def test_all_wake_when_nothing_is_to_sleep_any_more() -> None:
    bench = Bench(3)
    await bench.sleeping(2)
    bench.scale(1)
    bench.scaling.use(settings(""))
    await bench.settle()
    assert (bench.roll.resting(), bench.roll.greets, bench.server.levels) == ({}, None, {})
    assert len(bench.scaling.standing("e", bench.now).ready) == 3


async def test_engines_that_do_not_sleep_are_left_to_the_actuator_below() -> None:
    bench = Bench(2)
    bench.scaling.scale("other", 7, {}, bench.now)
    bench.scaling.idle("other", ["x"])
    assert (bench.below.scaled, bench.below.stopped) == ([7], ["x"])


async def test_of_several_gateways_the_others_send_nothing_to_whom_the_one_that_acts_puts_to_sleep() -> None:
    one, other = Bench(2), Bench(2)
    other.lease, other.server, other.below.acting = one.lease, one.server, False
    other.scaling._leadership = one.lease
    one.scale(1)
    assert (one.lease.leaving, one.lease.going) == ({"e/sleep": ["e-0"]}, {"e/sleep": []})
    assert (other.standing.ready, other.standing.leaving) == (["e-1"], ["e-0"])
    assert other.roll.resting() == {"e-0": "draining"}
    one.scaling.idle("e", ["e-0"])
    await one.settle()
    await other.scaling.look()
    assert (other.standing.asleep, other.roll.resting()) == (["e-0"], {"e-0": "asleep"})
    one.scale(2)
    await one.settle()
    assert one.lease.leaving == {"e/sleep": []}
    await other.scaling.look()
    assert (len(other.standing.ready), other.roll.resting()) == (2, {})


async def test_whoever_takes_over_goes_on_with_those_that_drain() -> None:
    bench = Bench(2)
    bench.below.acting = False
    bench.lease.leaving["e/sleep"] = ["e-0"]
    assert bench.standing.leaving == ["e-0"]
    bench.below.acting = True
    bench.scale(1)
    bench.scaling.idle("e", ["e-0"])
    await bench.settle()
    assert bench.standing.asleep == ["e-0"]


async def test_one_that_is_wanted_again_by_the_one_that_acts_serves_in_the_others_too() -> None:
    bench = Bench(2)
    bench.below.acting = False
    bench.lease.leaving["e/sleep"] = ["e-0"]
    assert bench.standing.leaving == ["e-0"]
    bench.lease.leaving["e/sleep"] = []
    assert (len(bench.standing.ready), bench.roll.resting()) == (2, {})


def _two(count: int = 2, sleep: str = "level: 1") -> tuple[Bench, Bench]:
    """The one that acts, and another, before the same servers."""
    one, other = Bench(count, sleep=sleep), Bench(count, sleep=sleep)
    other.server, other.below.acting = one.server, False
    other.scaling._leadership = Told(one.lease)
    return one, other


class Told:
    """The Lease as one that does not act has it."""

    def __init__(self, lease: Lease) -> None:
        self.leads = False
        self.told, self.tell = lease.told, lease.tell


async def test_only_the_one_that_acts_puts_to_sleep_what_has_drained() -> None:
    one, other = _two()
    one.scale(1)
    assert other.standing.leaving == ["e-0"]
    other.scaling.idle("e", ["e-0"])
    await other.settle()
    assert (other.server.moves(), other.below.stopped) == ([], [])


async def test_only_the_one_that_acts_wakes_those_of_an_engine_that_is_to_sleep_no_more() -> None:
    one, other = _two()
    await one.sleeping(1)
    await other.scaling.look()
    one.server.moves()
    other.scaling.use(settings(""))
    await other.settle()
    assert (one.server.moves(), other.roll.resting()) == ([], {"e-0": "asleep"})
    one.scaling.use(settings(""))
    await one.settle()
    await other.scaling.look()
    assert (one.server.moves(), other.roll.resting()) == ([("e-0", "/wake_up")], {})


async def test_one_that_is_being_woken_gets_no_request_of_another_gateway_until_it_is_awake() -> None:
    one, other = _two()
    await one.sleeping(1)
    one.scale(2)
    assert (other.standing.waking, other.roll.resting()) == (["e-0"], {"e-0": "draining"})
    await one.settle()
    assert (sorted(other.standing.ready), other.roll.resting()) == (["e-0", "e-1"], {})


async def test_whoever_takes_over_gives_no_request_to_one_that_falls_asleep_and_wakes_it_then() -> None:
    one, other = _two()
    one.scale(1)
    one.scaling.idle("e", ["e-0"])
    assert (one.lease.leaving, one.lease.going) == ({"e/sleep": []}, {"e/sleep": ["e-0"]})
    assert other.standing.ready == ["e-1"]
    other.below.acting = True
    other.scale(2)
    await other.scaling.look()
    assert (other.standing.ready, other.standing.waking, other.server.moves()) == (["e-1"], ["e-0"], [])
    one.server.levels["e-0"] = 1
    await other.scaling.look()
    await other.settle()
    assert (other.server.moves()[-1], sorted(other.standing.ready)) == (("e-0", "/wake_up"), ["e-0", "e-1"])


async def test_whoever_takes_over_sends_to_one_that_was_being_woken_and_is_awake() -> None:
    one, other = _two()
    await one.sleeping(1)
    one.scale(2)
    assert other.standing.waking == ["e-0"]
    one.server.levels.clear()
    other.below.acting = True
    await other.scaling.look()
    assert (sorted(other.standing.ready), other.roll.resting()) == (["e-0", "e-1"], {})


async def test_a_fall_of_which_nothing_comes_ends_after_ten_minutes_for_whoever_has_taken_over() -> None:
    one, other = _two()
    one.scale(1)
    one.scaling.idle("e", ["e-0"])
    assert other.standing.ready == ["e-1"]
    other.below.acting = True
    other.now += 599.0
    await other.scaling.look()
    assert other.standing.ready == ["e-1"]
    other.now += 1.0
    await other.scaling.look()
    assert sorted(other.standing.ready) == ["e-0", "e-1"]


async def test_what_another_gateway_had_sleep_has_no_cache_any_more_here_either() -> None:
    one, other = _two()
    await one.sleeping(1)
    assert other.standing.ready == ["e-1"]
    await other.scaling.look()
    assert other.emptied_ == ["e-0"]


async def test_a_wake_that_loads_weights_again_may_take_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    bounded = asyncio.timeout

    def timeout(seconds: float) -> Any:
        given.append(seconds)
        return bounded(seconds)

    for level in (1, 2):
        bench = Bench(1, sleep=f"level: {level}")
        await bench.sleeping(0)
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "timeout", timeout)
            bench.scale(1)
            await bench.settle()
    assert given == [60.0, 600.0]


async def test_a_wake_that_failed_when_nothing_is_to_sleep_any_more_is_tried_again() -> None:
    bench = Bench(1)
    await bench.sleeping(0)
    bench.server.fails["/wake_up"] = 500
    bench.scaling.use(settings(""))
    await bench.settle()
    bench.server.fails.clear()
    bench.server.moves()
    await bench.scaling.look()
    await bench.settle()
    assert (bench.server.moves(), bench.roll.resting()) == ([], {"e-0": "asleep"}), "not at once"
    bench.now += AGAIN_S
    await bench.scaling.look()
    await bench.settle()
    assert (bench.server.moves(), bench.roll.resting()) == ([("e-0", "/wake_up")], {})
    await bench.scaling.look()
    assert bench.scaling._ending == {}


async def test_an_engine_that_is_to_sleep_again_is_known_as_it_was_left() -> None:
    bench = Bench(1)
    await bench.sleeping(0)
    bench.server.fails["/wake_up"] = 500
    bench.scaling.use(settings(""))
    await bench.settle()
    bench.scaling.use(settings())
    assert (bench.standing.asleep, bench.scaling._ending) == (["e-0"], {})


async def test_one_that_cannot_sleep_does_not_have_those_stopped_that_do() -> None:
    bench = Bench(6, launched=True)
    await bench.sleeping(3)
    assert len(bench.standing.asleep) == 3
    bench.server.fails["/sleep"] = 500
    await bench.sleeping(2)
    bench.scale(2)
    assert bench.below.scaled[-1] == 5, "the one that cannot sleep goes"
    assert min(bench.below.in_flight, key=lambda id: bench.below.in_flight[id]) == "e-3"


async def test_nobody_is_started_for_one_that_has_not_said_yet_whether_it_sleeps() -> None:
    bench = Bench(3, fixed=False)
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    bench.scale(3)
    assert bench.below.scaled[-1] == 3
    bench.scale(4)
    assert bench.below.scaled[-1] == 4


async def test_one_that_has_started_is_starting_until_it_has_said_that_it_is_awake() -> None:
    bench = Bench(1, fixed=False)
    bench.below.starting = {"e-1": 40.0}
    assert dict(bench.standing.starting) == {"e-1": 40.0}
    bench.below.starting = {}
    bench.roll.there.append("e-1")
    assert bench.roll.greets is not None
    bench.roll.greets("e-1")
    assert dict(bench.standing.starting) == {"e-1": 40.0}
    await bench.settle()
    assert (dict(bench.standing.starting), bench.standing.ready) == ({}, ["e-0", "e-1"])


@pytest.mark.parametrize(("page", "wait_s"), [(True, 0.0), (False, AGAIN_S)])
async def test_one_that_does_not_say_whether_it_sleeps_serves_all_the_same(page: bool, wait_s: float) -> None:
    bench = Bench(1)
    if page:
        bench.server.odd.add("e-0")
    else:
        bench.server.fails["/is_sleeping"] = None
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    with capture_logs() as logs:
        if wait_s:
            await bench.settle()
            assert bench.standing.ready == []
        bench.now += wait_s
        await bench.scaling.look()
    assert bench.standing.ready == ["e-0"]
    assert [line["event"] for line in logs] == ["replica_does_not_say_whether_it_sleeps"]


async def test_one_that_we_cannot_ask_is_not_taken_to_be_awake_however_long() -> None:
    bench = Bench(1)
    bench.server.short = True
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    await bench.settle()
    bench.now += 10 * AGAIN_S
    await bench.scaling.look()
    assert bench.standing.ready == []
    bench.server.short = False
    await bench.scaling.look()
    assert bench.standing.ready == ["e-0"]


async def test_what_a_reload_has_removed_does_not_fail_to_wake() -> None:
    bench = Bench(1)
    await bench.sleeping(0)
    bench.scale(1)
    bench.server = None  # type: ignore[assignment]
    with capture_logs() as logs:
        await bench.settle()
    assert (logs, bench.results) == ([], ["slept"])


@pytest.mark.parametrize("workload", ["kind: LeaderWorkerSet", "kind: Deployment"])
async def test_nothing_is_stopped_for_one_that_sleeps_where_nobody_can_choose_which(workload: str) -> None:
    bench = Bench(4, fixed=False)
    scaled = f"autoscale: {{max: 4, sleep: {{}}, kubernetes: {{{workload}, name: e}}}}"
    found = f"discover: {{kubernetes: {{service: e, namespace: d}}}}, {scaled}"
    written = f"engines: {{e: {{kind: vllm, {found}}}}}\nmodels: {{m: {{targets: [{{engine: e}}]}}}}\n"
    bench.scaling.use(load_settings(written, {}).settings)
    await bench.sleeping(3)
    bench.server.fails["/sleep"] = 500
    await bench.sleeping(2)
    bench.scale(1)
    assert (bench.below.scaled[-1], len(bench.standing.asleep), len(bench.standing.leaving)) == (4, 2, 1)
    bench.server.fails.clear()
    bench.now += AGAIN_S
    await bench.sleeping(1)
    assert len(bench.standing.asleep) == 3, "what could not be put to sleep is tried again"


async def test_one_that_has_just_started_and_acts_at_once_goes_on_from_what_the_lease_says() -> None:
    bench = Bench(2)
    bench.lease.going["e/sleep"] = ["e-0"]
    assert bench.roll.greets is not None
    bench.roll.greets("e-0")
    assert (bench.standing.ready, bench.roll.resting()) == (["e-1"], {"e-0": "draining"})
    await bench.settle()
    bench.scale(2)
    await bench.scaling.look()
    assert (bench.standing.ready, bench.standing.waking) == (["e-1"], ["e-0"]), "it falls asleep"
    bench.server.levels["e-0"] = 1
    await bench.scaling.look()
    await bench.settle()
    assert sorted(bench.standing.ready) == ["e-0", "e-1"]


async def test_a_refusal_without_words_is_called_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wordless(*_: object, **__: object) -> None:
        raise ConnectionLost("")

    bench = Bench(1)
    await bench.sleeping(0)
    monkeypatch.setattr("engines.sleeping.wake", wordless)
    bench.scale(1)
    await bench.settle()
    assert bench.standing.problem == "e-0 does not wake: ConnectionLost"


async def test_a_wake_that_takes_too_long_is_told_with_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: object, **__: object) -> None:
        raise TimeoutError

    bench = Bench(1)
    await bench.sleeping(0)
    monkeypatch.setattr("engines.sleeping.wake", late)
    bench.scale(1)
    await bench.settle()
    assert bench.standing.problem == "e-0 does not wake: it is not awake after 60 s"
