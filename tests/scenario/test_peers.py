"""Two gateways in front of one engine: each knows what the other has to do, and decides by all of it; and since they
share no index of prompts, both send a prompt to the home that both would give it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog

from loadtests.processes.launched import free_port
from tests.scenario.gateway import LONGEST_S, Gateway, running_gateway
from tests.scenario.upstream import Answer, completion, running_upstream

pytestmark = pytest.mark.anyio


def config(host: str, port: int, upstream: int) -> dict[str, Any]:
    found = {"discover": {"dns": {"host": "127.0.0.1", "port": upstream}}, "autoscale": {"min": 1, "max": 9}}
    return {
        "admin": {"listen": f"{host}:{port}"},
        "peers": {"dns": "localhost", "port": port, "key": "sk-of-the-peers"},
        "autoscale": {"writer": "hpa"},
        "engines": {
            "llama": {"kind": "vllm", **found},
            "own": {"kind": "vllm", "replicas": [{"url": "http://127.0.0.1:9"}]},
        },
        "models": {"chat": {"targets": [{"engine": "llama"}]}},
        "health": {"interval_s": 600},
    }


async def heard(gateway: Gateway, addresses: list[str]) -> dict[str, Any]:
    """What one hears of the others at these addresses: an address of loopback each, as a name would have them."""

    async def resolve(*_: object) -> list[str]:
        return addresses

    asking = gateway.plane.peering._asking
    asking._resolve = resolve
    asking._looked_s = float("-inf")
    gateway.plane.peering.own._made_s = float("-inf")
    await asking.look()
    return dict(gateway.plane.peering.demands(["llama", "own"]))


async def heard_of(one: Gateway, two: Gateway, addresses: list[str], in_flight: int) -> Any:
    """What `two` hears of `one`, itself left out, once it has so many in flight: a worker that is late has what it had
    before, and a gateway that is late is not heard."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            one.plane.peering.own._made_s = float("-inf")
            told = await heard(two, addresses)
            assert set(told) <= {f"peer {one.plane.peering.own.gateway}"}
            for demands in told.values():
                if demands[0].in_flight == in_flight:
                    return demands


async def test_what_one_has_in_flight_is_what_the_other_scales_by() -> None:
    port, addresses = free_port(), ["127.0.0.1", "127.0.0.2"]
    gate = asyncio.Event()
    with structlog.testing.capture_logs():
        async with running_upstream() as upstream:
            at = int(upstream.url.rpartition(":")[2])
            upstream.then(Answer([json.dumps(completion()).encode()], before=gate))
            async with running_gateway(config("127.0.0.1", port, at)) as one:
                asked = asyncio.ensure_future(one.chat())
                await upstream.request(0)
                async with running_gateway(config("127.0.0.2", port, at)) as two:
                    demand, written = await heard_of(one, two, addresses, in_flight=1)
                    assert (demand.engine, demand.in_flight, demand.ended) == ("llama", 1, 0)
                    assert (written.engine, written.in_flight, written.ended) == ("own", 0, 0)
                    await two.plane.autoscaling.look()
                    scaled = two.plane.autoscaling._scaled["llama"]
                    assert scaled.traffic.in_flight() == {f"127.0.0.1:{at}": 1}
                    gate.set()
                    assert (await asked).status_code == 200
                    await one.records.of(0)
                    after, _ = await heard_of(one, two, addresses, in_flight=0)
                    assert (after.in_flight, after.ended) == (0, 1)


PROMPTS = [f"Letter {number}: " + f"we write to you about matter {number}. " * 200 for number in range(12)]


async def test_two_that_share_no_index_send_a_new_prompt_to_the_same_replica() -> None:
    port, addresses = free_port(), ["127.0.0.1", "127.0.0.2"]
    with structlog.testing.capture_logs():
        async with running_upstream() as a, running_upstream() as b, running_upstream() as c:
            urls = [a.url, b.url, c.url]

            def gateway(host: str) -> Any:
                replicas = [{"id": f"r{number}", "url": url} for number, url in enumerate(urls)]
                return running_gateway(
                    {
                        **config(host, port, 9),
                        "engines": {"e": {"kind": "openai", "replicas": replicas}},
                        "models": {"chat": {"targets": [{"engine": "e"}], "policy": {"name": "prefix"}}},
                    }
                )

            async with gateway("127.0.0.1") as one, gateway("127.0.0.2") as two:
                for each in (one, two):
                    await heard(each, addresses)
                    each.plane.peering._tell()
                    await each.until(lambda each=each: each.worker.fleet.table.choosers(["e"]) == 2)
                went = []
                for prompt in PROMPTS:
                    messages = [{"role": "user", "content": prompt}]
                    answers = [await each.chat(messages=messages) for each in (one, two)]
                    went.append([answer.headers["x-penstock-replica"] for answer in answers])
    assert [first for first, _ in went] == [second for _, second in went]
    assert len({first for first, _ in went}) > 1
