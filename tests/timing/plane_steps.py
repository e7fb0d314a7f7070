"""How long what the control plane does by itself holds the streams' loop: `python -m tests.timing.plane_steps`.

Prints, for 300 engines of 64 replicas and for 10,000 API keys, the most thread CPU between two turns of the loop: the
least of three tries each, of which the last two find everything as it was.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from engines.events import EventsAt
from engines.loads import EngineLoad
from engines.port import Replica
from gateway.accounts.keys import making_keyring, packing_keys, unpacked_keys
from gateway.control.asking.engine_versions import EngineVersions
from gateway.control.asking.kv_events import KvEvents
from gateway.control.asking.loads import EngineLoads, _Seen
from gateway.control.counters import CounterBoard
from gateway.control.links import Links
from gateway.control.membership import Observed, Written
from gateway.control.roster import Roster
from gateway.control.scaling.actuator import Standing
from gateway.control.scaling.autoscale import Autoscaling
from gateway.fleet.members import Member
from gateway.fleet.steps import in_slices, letting_go, made_in_slices
from gateway.identity import Keyring
from gateway.serve import settle_memory
from gateway.settings import Settings, load_settings
from gateway.settings.sealed import leaving, opened, seal
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.engine_load import ENGINE_KV_USAGE, ENGINE_WAITING
from gateway.telemetry.metrics.families.replicas import REPLICA_VERSIONS
from gateway.workers.exchange.demand import EngineDemand
from gateway.workers.exchange.messages import Configure, Keys, ToWorker
from tests.timing.reload_steps import longest_hold_ms

ENGINES, REPLICAS, KEYS = 300, 64, 10_000
WRITTEN = 5_000
TRIES = 3


def replicas() -> dict[str, tuple[Replica, ...]]:
    """By engine."""
    return {
        f"e{engine}": tuple(Replica(f"{engine}-{at}", f"http://10.0.{at}.1:{8000 + engine}") for at in range(REPLICAS))
        for engine in range(ENGINES)
    }


class Publishing:
    """An engine of replicas that publish their events, and a subscription to one."""

    def __init__(self, replicas: tuple[Replica, ...]) -> None:
        self.replicas = replicas

    async def version(self, replica: str) -> str:
        return "1.0"

    def close(self) -> None: ...


class Nobody:
    """An actuator of engines whose replicas are all ready and stay that."""

    def acts(self, engine: str) -> bool:
        return True

    def standing(self, engine: str, now: float) -> Standing:
        return Standing(ready=[f"{engine[1:]}-{at}" for at in range(REPLICAS)])

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None: ...

    def idle(self, engine: str, ids: Any) -> None: ...

    def release(self, engine: str) -> None: ...


async def least(work: Callable[[], Awaitable[object]]) -> float:
    """The longest hold of the best of three tries."""
    settle_memory()
    return min([await longest_hold_ms(work()) for _ in range(TRIES)])


async def following() -> dict[str, float]:
    engines = {name: Publishing(of_engine) for name, of_engine in replicas().items()}
    told: list[ToWorker] = []

    def tell(worker: str, message: ToWorker) -> bool:
        told.append(message)
        return True

    events = KvEvents(
        lambda: list(engines.items()),  # type: ignore[arg-type]
        lambda _, replica: EventsAt(f"tcp://{replica.url[7:]}"),
        lambda: ["w"],
        tell,
        lambda *_: None,
        subscribe=lambda *_: Publishing(()),
    )

    settle_memory()
    found = {"the first look at who publishes KV events": await longest_hold_ms(events.look())}
    found["telling of it"] = await longest_hold_ms(asyncio.sleep(0.2))
    found["another look"] = await least(events.look)
    engines.clear()
    found["a look that finds all gone"] = await longest_hold_ms(events.look())
    events.close()
    return found


async def joining() -> dict[str, float]:
    heard: list[list[Member]] = []
    roster = Roster(heard.append, 0.0)
    sources = {name: Observed() for name in replicas()}
    for name, source in sources.items():
        roster.enroll(name, source)
    for name, of_engine in replicas().items():
        sources[name].found(of_engine)
    settle_memory()

    async def told() -> None:
        while sum(map(len, heard)) < ENGINES * REPLICAS:
            await asyncio.sleep(0)

    found = {"all discovered replicas are told to workers": await longest_hold_ms(told())}
    kept: list[list[bytes]] = []

    async def gather() -> None:
        kept.append(await roster.members())

    found["all of them are gathered for one that joins"] = await least(gather)
    document = {"engines": {"e": {"kind": "vllm", "replicas": [{"url": "http://h:1"}]}}, "models": {}}
    document["models"] = {"m": {"targets": [{"engine": "e"}]}}
    message = Configure(seal(load_settings(json.dumps(document), {})), 2, kept[-1])
    write, read = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(ToWorker).decode
    text = write(message)
    found["it is told of them"] = await least(lambda: once(lambda: write(message)))
    found["it reads that"] = await least(lambda: once(lambda: read(text)))
    return found | await marked(roster)


async def once(work: Callable[[], object]) -> None:
    work()


async def marked(roster: Roster) -> dict[str, float]:
    """Of replicas that are all down, and of an engine with thousands of them written down."""
    roster.down({(name, replica.id) for name, of_engine in replicas().items() for replica in of_engine})
    found = {"states of replicas that are all down": await least(lambda: once(roster.states))}
    sources = [Written(tuple(Replica(f"{at}", f"http://h:{port}") for at in range(WRITTEN))) for port in (1, 1, 2)]
    settle_memory()
    for what, source in zip(("are enrolled", "again", "at other places"), sources, strict=True):
        found[f"{WRITTEN:,} replicas of one engine {what}"] = await longest_hold_ms(
            in_slices(roster.enrolling("large", source))
        )
    found["they leave"] = await longest_hold_ms(in_slices(roster.dismissing("large")))
    return found


async def dropping() -> dict[str, float]:
    keys = [{"id": f"k{number}", "sha256": f"{number:064x}"} for number in range(KEYS)]
    engines = {"e": {"kind": "vllm", "replicas": [{"url": "http://h:1"}]}}
    document = {"auth": {"keys": keys}, "engines": engines, "models": {"m": {"targets": [{"engine": "e"}]}}}
    sealed = seal(load_settings(json.dumps(document), {}))
    made: list[Settings] = []
    keyrings: list[Keyring] = []

    async def reading() -> None:
        made.append((await opened(sealed)).settings)

    async def leave() -> None:
        settings = made.pop()
        parts = leaving(settings)
        del settings
        await in_slices(letting_go(parts))

    async def making() -> None:
        keyrings.append(await made_in_slices(making_keyring(unpacked_keys(message.keys))))

    async def leave_keyring() -> None:
        parts = keyrings.pop().held()
        await in_slices(letting_go(parts))

    found = {"10,000 keys are read": await least(reading), "they are dropped": await least(leave)}
    loaded = (await opened(sealed)).settings
    message = Keys(await made_in_slices(packing_keys(loaded)))
    write, read = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(ToWorker).decode
    text = write(message)
    found["they are packed"] = await least(lambda: made_in_slices(packing_keys(loaded)))
    found["a worker is told of them"] = await least(lambda: once(lambda: write(message)))
    found["it reads of them"] = await least(lambda: once(lambda: read(text)))
    found["it makes a keyring of them"] = await least(making)
    return found | {"their keyring is dropped": await least(leave_keyring)}


async def scraped() -> dict[str, float]:
    metrics, loads = Metrics([f"m{engine}" for engine in range(ENGINES)]), EngineLoads(list, lambda *_: True)
    loads._interval_s, now = 100.0, asyncio.get_running_loop().time()
    for name, of_engine in replicas().items():
        metrics.series(f"m{name[1:]}", name)
        for replica in of_engine:
            seen = loads._seen[name, replica.id] = _Seen()
            seen.take(EngineLoad(waiting=1, kv_usage=0.5, running=1), now)
    metrics.watch(ENGINE_WAITING, loads.waiting)
    metrics.watch(ENGINE_KV_USAGE, loads.kv_usages)
    versions = EngineVersions(list)
    for name, of_engine in replicas().items():
        for replica in of_engine:
            await versions._ask(name, Publishing(of_engine), replica.id)  # type: ignore[arg-type]
    metrics.watch(REPLICA_VERSIONS, versions.figures)
    board = CounterBoard(Links(), metrics)

    async def scrape() -> None:
        async for _ in board.exposition():
            pass

    found = {"a scrape": await least(scrape), "a worker joins": await least(lambda: once(loads.tell_again))}
    return found | await looked(loads)


async def looked(loads: EngineLoads) -> dict[str, float]:
    engines = {f"e{at}": {"kind": "simulator", "autoscale": {"min": 0, "max": 99}} for at in range(ENGINES)}
    models = {f"m{at}": {"targets": [{"engine": f"e{at}"}], "slo": {"ttft_ms": 500}} for at in range(ENGINES)}
    settings = load_settings(json.dumps({"engines": engines, "models": models}), {}).settings
    at_each = {name: [(replica.id, 1, False) for replica in of_engine] for name, of_engine in replicas().items()}
    demands = {"0": [EngineDemand(name, 1, 10, 0, 0, 5, 100, 50, 0.1, 5, 1, each) for name, each in at_each.items()]}

    async def ask(names: list[str]) -> Mapping[str, Sequence[EngineDemand] | None]:
        return demands

    scaling = Autoscaling(Nobody(), ask, loads.kv_usage, lambda _: None)
    found = {"300 engines are scaled from now on": await least(lambda: in_slices(scaling.using(settings)))}
    found["a request wakes one of them"] = await least(lambda: once(lambda: scaling.woken(["e7"])))
    found["a worker joins that hears of their starts"] = await least(lambda: in_slices(scaling.telling_again()))
    return found | {"the autoscaler looks": await least(scaling.look)}


async def measure() -> dict[str, float]:
    """The longest hold of each, in milliseconds of thread CPU."""
    found: dict[str, float] = {}
    for part in (following, joining, dropping, scraped):
        found |= await part()
    return found


def main() -> None:
    sys.stdout.write(f"{ENGINES} engines x {REPLICAS} replicas, {KEYS:,} keys: longest hold of the loop, thread CPU\n")
    for what, held_ms in asyncio.run(measure()).items():
        sys.stdout.write(f"  {held_ms:6.2f} ms  {what}\n")


if __name__ == "__main__":
    main()
