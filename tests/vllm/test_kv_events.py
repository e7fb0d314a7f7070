"""Two real vLLM servers with small caches: what they publish is followed, and to know of it is worth something.

They are another pair than the server of the other tests: a cache of 40 blocks would fail those.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engines.events import Batch, Blocks, Cleared, EventsAt, Removed, token_keys
from engines.events.subscriber import Subscriber
from tests.gateway.children import children
from tests.vllm import tiny_model
from tests.vllm.conftest import address_in
from tests.vllm.serve import ENV
from tests.vllm.stack import KEY, Gateway, metric, running_gateway, until

pytestmark = [pytest.mark.vllm, pytest.mark.anyio]


BLOCK = 128
BLOCKS = 40
ARGS = (
    *("--enforce-eager", "--enable-prompt-tokens-details", "--max-model-len", "2048"),
    *("--num-gpu-blocks-override", str(BLOCKS)),
)
MODELS = {
    name: {"targets": [{"engine": "local", "model": "tiny"}], "policy": {"name": name}}
    for name in ("prefix", "round_robin")
}
PROMPTS = 8
"""Of 7 blocks: each cache holds half of them, and not all."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, vllm_python: Path) -> Iterator[Gateway]:
    """A gateway with two servers that it launched and follows."""
    directory = tmp_path_factory.mktemp("pair")
    model = directory / "model"
    subprocess.run([vllm_python, tiny_model.__file__, model], check=True, capture_output=True)
    engine = {
        "kind": "vllm",
        "kv_events": {},
        "launch": {
            "model": str(model),
            "replicas": 2,
            "args": list(ARGS),
            "python": str(vllm_python),
            "env": ENV,
            "start_timeout_s": 300,
        },
    }
    with running_gateway(directory, engine, within_s=300, models=MODELS, replicas=2) as gateway:
        yield gateway


@pytest.fixture
def servers(pair: Gateway) -> list[str]:
    return [address_in(log) for log in sorted((pair.data_dir / "logs").glob("*.log"))]


def publishers(pair: Gateway) -> list[EventsAt]:
    """Where the servers publish, as they were told."""
    told = []
    for command in children(pair.process.pid).values():
        if "--kv-events-config" in command:
            config, _ = json.JSONDecoder().raw_decode(command[command.index("{") :])
            told.append(EventsAt(config["endpoint"], config["replay_endpoint"]))
    return told


def text(number: int) -> str:
    """A prompt of about 1,000 tokens that shares nothing with another."""
    return f"{number} " + " ".join(f"ba{number}ne ki{at % 10}lo" for at in range(125))


def ask(url: str, model: str, prompt: str) -> dict[str, Any]:
    """The usage of one completion of one token."""
    body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
    answer = httpx.post(f"{url}/v1/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    usage: dict[str, Any] = answer.raise_for_status().json()["usage"]
    return usage


def cached(usage: dict[str, Any]) -> int:
    return int((usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0)


def names(url: str, prompt: str) -> list[int]:
    tokens = httpx.post(f"{url}/tokenize", json={"prompt": prompt}).raise_for_status().json()["tokens"]
    return token_keys(array("I", tokens), BLOCK)


class Follower:
    def __init__(self, at: EventsAt) -> None:
        self.blocks = Blocks()
        self.purges: list[bool] = []
        self.subscriber = Subscriber(at, self._apply, self._purge)

    def _apply(self, batch: Batch) -> None:
        for event in batch.events:
            if isinstance(event, Cleared):
                self.blocks.clear(complete=True)
            elif isinstance(event, Removed):
                self.blocks.remove(event)
            else:
                self.blocks.store(event)

    def _purge(self, empty: bool) -> None:
        self.purges.append(empty)
        self.blocks.clear(complete=empty)

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not seen():
                await asyncio.sleep(0.01)


async def test_what_vllm_stores_evicts_and_repeats_is_followed(pair: Gateway, servers: list[str]) -> None:
    at, url = publishers(pair)[0], servers[0]
    url = next(one for one in servers if one.rpartition(":")[2] in at.endpoint)
    ask(url, "tiny", text(100))
    follower = Follower(at)
    try:
        first = names(url, text(100))
        await follower.until(lambda: follower.blocks.leading(first) == len(first) >= 6)  # by replay
        assert follower.blocks.block_size == BLOCK
        ask(url, "tiny", text(101))
        second = names(url, text(101))
        await follower.until(lambda: follower.blocks.leading(second) == len(second))  # as it came

        for number in range(102, 110):  # more than the cache holds
            ask(url, "tiny", text(number))
        await follower.until(lambda: follower.blocks.leading(first) == 0)
        assert cached(ask(url, "tiny", text(100))) == 0

        purges = list(follower.purges)
        for number in (110, 111):
            ask(url, "tiny", text(number))
        time.sleep(0.5)  # noqa: ASYNC251  so that nobody reads
        follower.subscriber._published.drain()  # what came of them is lost
        ask(url, "tiny", text(112))
        for number in (110, 111, 112):
            lost = names(url, text(number))
            await follower.until(lambda lost=lost: follower.blocks.leading(lost) == len(lost))  # type: ignore[misc]
        assert (follower.purges, follower.blocks.complete) == (purges, True)
        assert len(follower.blocks) <= BLOCKS
    finally:
        follower.subscriber.close()


def test_more_is_cached_where_the_policy_knows_of_it(pair: Gateway, servers: list[str]) -> None:
    found = {}
    for offset, model in ((200, "round_robin"), (300, "prefix")):
        prompts = [
            text(offset + (number * 3 + turn) % PROMPTS) + f" {turn}" for turn in range(5) for number in range(8)
        ]
        found[model] = sum(cached(ask(pair.url, model, prompt)) for prompt in prompts) / len(prompts)
    assert found["prefix"] > 2 * found["round_robin"]
    assert found["prefix"] > 0.7 * 7 * BLOCK  # of the first turn nothing is


def test_both_are_known_by_their_events_and_one_prompt_in_a_hundred_had_its_tokens_counted(
    pair: Gateway, servers: list[str]
) -> None:
    def counted() -> float:
        return sum(metric(url, "http_requests_total", handler="/tokenize") for url in servers)

    before = counted()
    for _ in range(100):
        ask(pair.url, "prefix", text(400))  # all of them there where the first went
    until(lambda: counted() > before, 60, "the tokens of a prompt are counted")
    assert counted() == before + 1

    def modes() -> list[float]:
        return [metric(pair.url, "penstock_prefix_mode", replica=f"local-{at}", mode="events") for at in (0, 1)]

    until(lambda: modes() == [1, 1], 60, "both replicas are known by their events")
