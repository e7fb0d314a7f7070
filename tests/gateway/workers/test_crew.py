"""Several workers are one gateway: they share a port, a configuration and their counters.

The tests share one crew, as a crew takes seconds to start: each leaves two workers behind that serve `m`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator

import pytest

from gateway.workers.exchange import counting
from gateway.workers.exchange.messages import PrefixesSent
from tests.gateway.children import gone
from tests.gateway.runs import run_of
from tests.gateway.workers.crew import Crew, configuration

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One loop for the module, as `crew` lives in it."""
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="module")
async def crew(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crew]:
    crew = Crew(tmp_path_factory.mktemp("crew"))
    await crew.start()
    yield crew
    await crew.close()


async def test_both_workers_answer_and_their_counters_add_up_exactly(crew: Crew) -> None:
    requests = await crew.count("penstock_requests_total", code="200", model="m")
    tokens = await crew.count("penstock_tokens_total", kind="input", model="m")
    answers = await crew.chats_until(2)
    assert {status for status, _ in answers} == {200}
    assert await crew.count("penstock_requests_total", code="200", model="m") == requests + len(answers)
    assert await crew.count("penstock_tokens_total", kind="input", model="m") == tokens + 3 * len(answers)
    assert await crew.count("penstock_in_flight") == 0
    scrapes = await asyncio.gather(*(crew.count("penstock_requests_total", model="m") for _ in range(8)))
    assert scrapes == [requests + len(answers)] * 8


async def test_a_killed_worker_is_replaced_and_nothing_counted_is_lost(crew: Crew) -> None:
    earlier = await crew.count("penstock_requests_total", model="m")
    before = await crew.chats_until(2)
    assert await crew.count("penstock_requests_total", model="m") == earlier + len(before)
    killed, other = crew.pids
    names = set(crew.plane.workers)
    os.kill(killed, signal.SIGKILL)
    await gone(killed)
    await crew.replaced(names)
    assert await crew.count("penstock_requests_total", model="m") == earlier + len(before)
    after = await crew.chats_until(2)
    assert {status for status, _ in after} == {200}
    assert len({worker for _, worker in before + after}) == 3
    assert await crew.count("penstock_requests_total", model="m") == earlier + len(before) + len(after)
    assert other in crew.pids


async def test_a_worker_that_is_killed_without_a_scrape_loses_nothing_it_has_told(crew: Crew) -> None:
    earlier = await crew.count("penstock_requests_total", model="m")
    before = await crew.chats_until(2)
    names = set(crew.plane.workers)

    def told() -> int:
        total = crew.plane.counters._accumulator.total()
        return sum(sum(series.codes.values()) for series in total.series if series.model == "m")

    assert counting.EVERY_S <= 1.0  # what a kill may cost
    await crew.plane.watch.until(lambda: told() == earlier + len(before))
    killed = crew.pids[0]
    os.kill(killed, signal.SIGKILL)
    await gone(killed)
    assert await crew.count("penstock_requests_total", model="m") == earlier + len(before)
    await crew.replaced(names)


async def test_every_worker_passes_the_admin_api_through(crew: Crew) -> None:
    answers = [await crew.call("GET", "/admin/v1/replicas") for _ in range(20)]
    assert {(status, json.loads(body)["data"][0]["replica"]) for status, _, body in answers} == {(200, "a")}


async def test_the_loops_of_the_workers_are_shown_too(crew: Crew) -> None:
    _, _, text = await crew.call("GET", "/metrics")
    shown = set(re.findall(rb'penstock_loop_last_success_age_seconds{loop="([a-z_]+)"}', text))
    loops = {
        b"adapters",
        b"config_reload",
        b"counters",
        b"date",
        b"descriptors",
        b"autoscale",
        b"ejection",
        b"engine_load",
        b"engine_versions",
        b"health",
        b"load_exchange",
        b"log_writer",
        b"prices",
        b"releases",
        b"sleep",
    }
    restarts = re.findall(rb'penstock_loop_restarts_total{loop="([a-z_]+)"} (\S+)', text)
    assert (shown, [(loop, float(count)) for loop, count in restarts]) == (loops, [(loop, 0) for loop in sorted(loops)])


async def test_a_reload_reaches_every_worker(crew: Crew) -> None:
    await crew.chats_until(2)
    started = crew.pids
    crew.file.write_text(configuration(crew.url, crew.data_dir, model="n"))
    assert await crew.plane.reload()
    assert {status for status, _ in await crew.chats_until(2, "n")} == {200}
    assert {status for status, _ in await crew.chats_until(2, "m")} == {404}
    assert crew.pids == started
    crew.file.write_text(configuration(crew.url, crew.data_dir))
    assert await crew.plane.reload()


async def test_what_one_worker_sent_where_the_other_expects_to_be_cached(crew: Crew) -> None:
    crew.file.write_text(configuration(crew.url, crew.data_dir, policy="prefix"))
    assert await crew.plane.reload()
    crew.upstream.cached_tokens = 0  # so that the error of the first, which is cached nowhere, is not counted
    heard = sum(isinstance(message, PrefixesSent) for message in crew.plane.messages)
    said = "Once upon a time. " * 1000
    _, first = await crew.chat(said=said)
    await crew.plane.watch.until(
        lambda: sum(isinstance(message, PrefixesSent) for message in crew.plane.messages) > heard
    )
    crew.upstream.cached_tokens = 3
    other = first
    while other == first:  # by whichever the kernel likes
        assert await crew.count("penstock_prefix_predicted_error_ratio") < 0.1
        _, other = await crew.chat(said=said)
    assert await crew.count("penstock_prefix_predicted_error_ratio") < 0.1
    assert await crew.count("penstock_prefix_reported") == 1
    assert await crew.count("penstock_prefix_news_dropped_total") == 0
    crew.file.write_text(configuration(crew.url, crew.data_dir))
    assert await crew.plane.reload()


async def test_signals_to_the_group_are_the_parents_to_act_on(crew: Crew) -> None:
    for pid in crew.pids:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    assert {status for status, _ in await crew.chats_until(2)} == {200}


async def test_every_worker_says_why_its_requests_go_where_they_go(crew: Crew) -> None:
    path = "/admin/v1/routing/explain?model=m"
    assert (await crew.call("GET", path))[0] == 200
    answers = await crew.chats_until(2)
    status, _, body = await crew.call("GET", path)
    told = json.loads(body)["workers"]
    assert (status, [one["candidates"][0]["replica"] for one in told]) == (200, ["a", "a"])
    recorded = {run_of(decision["request_id"]) for one in told for decision in one["decisions"]}
    assert recorded == {worker for _, worker in answers}
