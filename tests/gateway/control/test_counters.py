"""Counters of all workers add up, whoever dies, is late or is replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.workers.exchange.messages import AskExposition, Exposition, ExpositionPart, SeriesCounted
from tests.gateway.control.fakes import Control

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet")]


async def test_counters_of_all_workers_add_up(gateway: Control) -> None:
    gateway.workers[0].served(3)
    gateway.workers[1].served(4)
    assert await gateway.count("penstock_requests_total", code="200") == 7
    assert await gateway.count("penstock_tokens_total", kind="input") == 21


async def test_counters_never_go_backwards_when_a_worker_is_replaced(gateway: Control) -> None:
    gateway.workers[0].served(3)
    gateway.workers[1].served(4)
    assert await gateway.count("penstock_requests_total") == 7
    gateway.plane.detach("0.0")
    assert await gateway.count("penstock_requests_total") == 7
    newcomer = gateway.worker("0.2")
    await newcomer.join()
    newcomer.served(1)
    assert await gateway.count("penstock_requests_total") == 8


async def test_a_late_worker_counts_as_last_heard(tmp_path: Path) -> None:
    gateway = Control(tmp_path / "penstock.yaml")
    await gateway.start()
    gateway.workers[0].served(3)
    assert await gateway.count("penstock_requests_total") == 3
    gateway.plane.counters._timeout_s = 0.01
    gateway.workers[0].served(1)
    gateway.workers[0].silent = True
    gateway.workers[1].served(1)
    async with asyncio.timeout(60):  # on a slow machine the other is late, too, and heard the next time
        while (counted := await gateway.count("penstock_requests_total")) != 4:
            assert counted == 3


async def test_a_worker_that_dies_while_it_is_asked_holds_nothing_up(gateway: Control) -> None:
    gateway.plane.counters._timeout_s = 3600.0
    gateway.workers[0].silent = True
    asking = asyncio.ensure_future(gateway.count("penstock_requests_total"))
    await gateway.workers[0].watch.until(lambda: len(gateway.workers[0].unanswered) == 1)
    gateway.plane.detach("0.0")
    async with asyncio.timeout(60):
        assert await asking == 0


async def test_a_worker_that_was_scraped_is_answered(gateway: Control) -> None:
    worker = gateway.workers[1]
    answer = await worker.link.ask(AskExposition(7), Exposition, timeout_s=10.0)
    parts = worker.all_heard(ExpositionPart)
    assert (len(parts), {part.scrape for part in parts}) == (answer.parts, {7})
    assert b"penstock_config_reloads_total" in b"".join(part.text for part in parts)
    assert gateway.workers[0].all_heard(ExpositionPart) == []


async def test_what_a_worker_tells_unasked_survives_its_death(gateway: Control) -> None:
    worker = gateway.workers[0]
    worker.served(3)
    worker.link.tell(SeriesCounted(worker.metrics.snapshot().series), bulk=True)
    await asyncio.sleep(0)
    gateway.plane.detach("0.0")
    assert await gateway.count("penstock_requests_total") == 3
