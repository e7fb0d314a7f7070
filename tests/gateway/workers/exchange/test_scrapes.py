"""An exposition arrives whole, in parts, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.links.link import LocalLink
from gateway.links.questions import LinkFull
from gateway.process.supervisor import Supervisor
from gateway.workers.exchange.messages import AskExposition, Exposition, ExpositionPart, ToPlane, ToWorker
from gateway.workers.exchange.scrapes import Scrapes

pytestmark = pytest.mark.anyio


class ControlPlane:
    """Answers a scrape in these parts, and says that there were so many."""

    def __init__(self, scrapes: Scrapes, parts: list[bytes], said: int) -> None:
        self._scrapes = scrapes
        self._parts = parts
        self._said = said

    def told(self, message: ToPlane) -> None:
        raise AssertionError(message)

    def asked(self, message: ToPlane) -> Awaitable[ToWorker]:
        assert isinstance(message, AskExposition)
        for part in self._parts:
            self._scrapes.told(ExpositionPart(message.scrape, part))
        self._scrapes.told(ExpositionPart(message.scrape + 1, b"of a scrape that nobody waits for"))
        answer: asyncio.Future[ToWorker] = asyncio.get_running_loop().create_future()
        answer.set_result(Exposition(self._said))
        return answer

    def link_lost(self) -> None: ...


async def scraped(parts: list[bytes], said: int) -> list[bytes]:
    scrapes, supervisor = Scrapes(), Supervisor()
    try:
        return await scrapes.ask(LocalLink(ControlPlane(scrapes, parts, said), supervisor.spawn))
    finally:
        await supervisor.close()


async def test_the_parts_come_in_their_order() -> None:
    assert await scraped([b"a\n", b"b\n"], 2) == [b"a\n", b"b\n"]


async def test_a_part_that_found_no_room_is_missed() -> None:
    with pytest.raises(LinkFull):
        await scraped([b"a\n"], 2)
