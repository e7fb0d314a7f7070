"""Each worker knows what the others have in flight."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.control.links import Links
from gateway.control.load_exchange import LoadExchange
from gateway.workers.exchange.messages import Load, RemoteLoad, ReplicaLoad, ToWorker

pytestmark = pytest.mark.anyio


class Heard:
    """A link that keeps what goes over it."""

    def __init__(self) -> None:
        self.messages: list[tuple[ToWorker, bool]] = []
        self.full = False

    def tell(self, message: ToWorker, *, bulk: bool = False) -> bool:
        if not self.full:
            self.messages.append((message, bulk))
        return not self.full

    def ask(self, message: ToWorker, answer: type[Any], *, timeout_s: float, bulk: bool = False) -> Any:
        raise AssertionError(message)

    def close(self) -> None: ...


def three() -> tuple[Links, LoadExchange, list[Heard]]:
    links, heard = Links(), [Heard(), Heard(), Heard()]
    for name, one in zip("abc", heard, strict=True):
        links.add(name, one)
    return links, LoadExchange(links), heard


async def test_each_worker_is_told_what_the_others_have_in_flight() -> None:
    _, exchange, heard = three()
    exchange.note("a", Load([ReplicaLoad("e", "0", 10, 1, 2), ReplicaLoad("e", "1", 1, 1, 2)]))
    exchange.note("b", Load([ReplicaLoad("e", "0", 5, 1, 2)]))
    exchange.share()
    assert [one.messages for one in heard] == [
        [(RemoteLoad([ReplicaLoad("e", "0", 5, 1, 2)]), True)],
        [(RemoteLoad([ReplicaLoad("e", "0", 10, 1, 2), ReplicaLoad("e", "1", 1, 1, 2)]), True)],
        [(RemoteLoad([ReplicaLoad("e", "0", 15, 2, 4), ReplicaLoad("e", "1", 1, 1, 2)]), True)],
    ]


async def test_what_a_dead_worker_had_in_flight_is_forgotten_and_what_it_says_later_ignored() -> None:
    links, exchange, heard = three()
    exchange.note("a", Load([ReplicaLoad("e", "0", 10, 1, 2)]))
    links.remove("a")
    exchange.departed("a")
    exchange.note("a", Load([ReplicaLoad("e", "0", 10, 1, 2)]))
    exchange.share()
    assert [one.messages for one in heard] == [[], [], []]


async def test_the_loop_waits_for_news_and_comes_again_to_whom_it_had_no_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.control.load_exchange.QUIET_S", 1e9)
    links, exchange, heard = three()
    step = asyncio.ensure_future(exchange.step())
    await asyncio.wait((step,), timeout=0.0)
    assert not step.done()
    heard[1].full = True
    exchange.note("a", Load([ReplicaLoad("e", "0", 10, 1, 2)]))
    await step
    assert [len(one.messages) for one in heard] == [0, 0, 1]
    heard[1].full = False
    await exchange.step()
    assert [len(one.messages) for one in heard] == [0, 1, 1]
    links.remove("a")
    exchange.departed("a")
    await exchange.step()
    assert [len(one.messages) for one in heard] == [0, 2, 2]


async def test_one_that_comes_while_nothing_is_new_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.control.load_exchange.QUIET_S", 0.0)
    links, exchange, _ = three()
    exchange.note("a", Load([ReplicaLoad("e", "0", 10, 1, 2)]))
    await exchange.step()
    late = Heard()
    links.add("d", late)
    await exchange.step()
    assert late.messages == [(RemoteLoad([ReplicaLoad("e", "0", 10, 1, 2)]), True)]


async def test_what_has_not_changed_is_not_told_again_and_what_found_no_room_is() -> None:
    _, exchange, heard = three()
    exchange.note("a", Load([ReplicaLoad("e", "0", 10, 1, 2)]))
    heard[1].full = True
    exchange.share()
    heard[1].full = False
    exchange.share()
    exchange.note("a", Load([]))
    exchange.share()
    exchange.share()
    ours, none = (RemoteLoad([ReplicaLoad("e", "0", 10, 1, 2)]), True), (RemoteLoad([]), True)
    assert [one.messages for one in heard] == [[], [ours, none], [ours, none]]
