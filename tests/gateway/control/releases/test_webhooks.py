"""Webhooks: what is asked, what counts as a yes, and how often somebody is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import pytest

from gateway.control.releases.spec import Hook
from gateway.control.releases.webhooks import TRIES, Webhooks

pytestmark = pytest.mark.anyio

FACTS = {"name": "chat", "phase": "ramping", "action": "advance", "metadata": {"eventType": "Normal"}}


class Receiver:
    """Somebody who is asked: answers with these statuses in turn, the last one again and again."""

    def __init__(self, *answers: int | Exception) -> None:
        self._answers = list(answers)
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.got.append((str(request.url), json.loads(request.content)))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if not answer:
            await asyncio.Event().wait()
        return httpx.Response(answer)

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    def hooks(self) -> Webhooks:
        return Webhooks(self.spawn, self.client, first_wait_s=0.0)


def hook(kind: str = "confirm-promotion", url: str = "http://user:secret@hooks:81/ask?token=t") -> Hook:
    return Hook(kind, url, 0.5, {"team": "search"})


async def test_a_2xx_answer_is_a_yes_and_the_body_is_flaggers() -> None:
    receiver = Receiver(202)
    assert await receiver.hooks().ask([hook()], "confirm-promotion", FACTS) == ""
    (got,) = receiver.got
    assert got[1] == FACTS | {"metadata": {"team": "search", "eventType": "Normal"}}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (403, "answered 403"),
        (302, "answered 302"),
        (httpx.ConnectError("no"), "could not be asked (ConnectError)"),
        (0, "did not answer within 0.01 s"),
    ],
)
async def test_anything_else_is_a_no_that_says_why_and_no_secret(answer: int | Exception, why: str) -> None:
    receiver = Receiver(answer)
    asked = Hook("rollout", hook().url, 0.01)
    said = await receiver.hooks().ask([asked], "rollout", FACTS)
    assert said == f"rollout: http://hooks:81/ask {why}"
    assert await receiver.hooks().any_says_yes([asked], "rollout", FACTS) == ""


async def test_only_hooks_of_the_kind_are_asked_and_the_first_no_is_enough() -> None:
    receiver = Receiver(200, 500, 200)
    asked = [hook("event"), hook(), hook(url="http://second/"), hook(url="http://third/")]
    said = await receiver.hooks().ask(asked, "confirm-promotion", FACTS)
    assert said == "confirm-promotion: http://second/ answered 500"
    assert len(receiver.got) == 2


async def test_one_yes_is_enough_to_roll_back() -> None:
    receiver = Receiver(500, 200)
    asked = [hook("rollback", "http://first/"), hook("rollback", "http://second/")]
    assert await receiver.hooks().any_says_yes(asked, "rollback", FACTS) == "http://second/"


@pytest.mark.parametrize(("answers", "times"), [((200,), 1), ((500, 200), 2), ((500,), TRIES)])
async def test_who_is_told_is_told_again_some_times_until_it_is_taken(answers: tuple[int, ...], times: int) -> None:
    receiver = Receiver(*answers)
    receiver.hooks().tell([hook("event"), hook("rollout")], "event", FACTS)
    await asyncio.gather(*receiver.tasks)
    assert len(receiver.got) == times


async def test_of_an_answer_only_its_head_is_read() -> None:
    read = 0

    async def without_end() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 65536
            await asyncio.sleep(0)

    def client() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=without_end())))

    hooks = Webhooks(Receiver().spawn, client)
    assert await hooks.ask([hook()], "confirm-promotion", FACTS) == ""
    assert read == 0
