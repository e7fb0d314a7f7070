"""What a request waits for before it begins; a mistake meanwhile leaves no client waiting."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from engines.model import Operation
from gateway.errand import Errand, Looked
from gateway.http.handler import Work
from gateway.http.request import Request
from gateway.process.supervisor import Supervisor
from tests.gateway.flights import FakeConnection

pytestmark = pytest.mark.anyio


class Began:
    """The work that the request becomes."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def client_gone(self) -> None:
        self.heard.append("gone")

    def client_paused(self) -> None:
        self.heard.append("paused")

    def client_resumed(self) -> None:
        self.heard.append("resumed")


class Door:
    def __init__(self, work: Work | None = None) -> None:
        self.work = work
        self.looked: list[Looked | None] = []

    def begin(self, request: Request, operation: Operation, looked: Looked | None = None) -> Work | None:
        self.looked.append(looked)
        if self.work is None:
            raise KeyError("odd")
        return self.work


def errand(door: Door) -> tuple[Errand, FakeConnection]:
    client = FakeConnection()
    request = Request(client, b"POST", "1.1", b"/v1/responses", b"", [], {}, b"{}", True)
    return Errand(door, request, Operation.RESPONSES), client


async def settled(supervisor: Supervisor) -> None:
    while supervisor._tasks:
        await asyncio.sleep(0)


async def test_it_begins_with_what_was_found_and_hears_how_its_client_reads() -> None:
    supervisor, work, found = Supervisor(), Began(), Looked(None, 1.0)
    door = Door(work)
    one, _ = errand(door)
    answer: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()
    one.run("home", lambda: answer, supervisor.spawn)
    one.client_paused()
    answer.set_result(found)
    await settled(supervisor)
    one.client_resumed()
    one.client_gone()
    assert (door.looked, work.heard) == ([found], ["paused", "resumed", "gone"])


async def test_a_client_that_has_left_begins_nothing() -> None:
    supervisor, door = Supervisor(), Door(Began())
    one, _ = errand(door)
    answer: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()
    one.run("home", lambda: answer, supervisor.spawn)
    one.client_gone()
    answer.set_result(Looked(None, 1.0))
    await settled(supervisor)
    assert door.looked == []


@pytest.mark.parametrize("mistaken", ["who is asked", "who goes on"])
async def test_a_mistake_is_told_to_the_client_which_would_wait_for_ever(mistaken: str) -> None:
    supervisor, door = Supervisor(), Door()
    one, client = errand(door)

    async def ask() -> Looked:
        if mistaken == "who is asked":
            raise KeyError("odd")
        return Looked(None, 1.0)

    with structlog.testing.capture_logs() as lines:
        one.run("home", ask, supervisor.spawn)
        await settled(supervisor)
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert [line["event"] for line in lines] == ["errand_mistaken"]
