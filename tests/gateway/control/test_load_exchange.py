"""Each worker knows what the others have in flight."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.control.links import Links
from gateway.control.load_exchange import LoadExchange
from gateway.workers.messages import Load, RemoteLoad, ReplicaLoad, ToWorker

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
    await exchange.share()
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
    await exchange.share()
    assert [one.messages for one in heard] == [[], [], []]


async def test_what_has_not_changed_is_not_told_again_and_what_found_no_room_is() -> None:
    _, exchange, heard = three()
    exchange.note("a", Load([ReplicaLoad("e", "0", 10, 1, 2)]))
    heard[1].full = True
    await exchange.share()
    heard[1].full = False
    await exchange.share()
    exchange.note("a", Load([]))
    await exchange.share()
    await exchange.share()
    ours, none = (RemoteLoad([ReplicaLoad("e", "0", 10, 1, 2)]), True), (RemoteLoad([]), True)
    assert [one.messages for one in heard] == [[], [ours, none], [ours, none]]
