"""LoRA adapters behind engines that speak vLLM's endpoints: a request goes where its adapter is, or has it loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.scenario.gateway import Gateway, document, running_gateway
from tests.scenario.upstream import Answer, Received, Upstream, plain, refusal, running_upstream

pytestmark = pytest.mark.anyio

BASE = "llama"
BROKEN = "/adapters/broken"


class Server:
    """A vLLM that loads adapters at run time, as `vllm.entrypoints.openai` answers for it."""

    def __init__(self, upstream: Upstream, *held: str, updates: bool = True) -> None:
        self.upstream = upstream
        self.updates = updates
        self.asked: list[tuple[str, str]] = []
        """What was loaded and unloaded."""
        self.loading: asyncio.Event | None = None
        upstream.models = [BASE, *held]
        upstream.always = self._answer

    def _answer(self, received: Received) -> Answer:
        body, models = received.json, self.upstream.models
        if received.path.startswith("/v1/chat"):
            name = body["model"]
            return plain() if name in models else refusal(404, f"The model `{name}` does not exist.")
        if not self.updates:
            return plain({"detail": "Not Found"}, 404)
        name = body["lora_name"]
        if received.path == "/v1/unload_lora_adapter":
            self.asked.append(("unload", name))
            models.remove(name)
            return text(f"Success: LoRA adapter '{name}' removed successfully.")
        assert received.path == "/v1/load_lora_adapter"
        if name in models:
            return refusal(400, f"The lora adapter '{name}' has already been loaded.")
        if body["lora_path"] == BROKEN:
            return refusal(404, f"Loading lora {name} failed: No adapter found for {BROKEN}")
        self.asked.append(("load", name))
        models.append(name)
        loaded = text(f"Success: LoRA adapter '{name}' added successfully.")
        return loaded if self.loading is None else Answer(loaded.pieces, before=self.loading)


def text(said: str) -> Answer:
    return Answer([said.encode()], headers=(("content-type", "text/plain; charset=utf-8"),))


@asynccontextmanager
async def serving(
    *held: tuple[str, ...], fallback: bool = False, **adapters: Any
) -> AsyncIterator[tuple[list[Server], Gateway]]:
    """Servers that hold these adapters, and a gateway that knows it."""
    async with AsyncExitStack() as stack:
        servers = [Server(await stack.enter_async_context(running_upstream()), *names) for names in held]
        replicas = [{"id": "abcdef"[at], "url": one.upstream.url} for at, one in enumerate(servers)]
        paths = {"sql": "/adapters/sql", "law": "/adapters/law", "own": None, "bad": BROKEN}
        engines: dict[str, Any] = {
            "e": {"kind": "vllm", "replicas": replicas, "adapters": {"paths": paths, **adapters}}
        }
        models: dict[str, Any] = {name: {"targets": [{"engine": "e"}]} for name in paths}
        if fallback:
            other = await stack.enter_async_context(running_upstream())
            engines["o"] = {"kind": "openai", "base_url": other.url + "/v1"}
            for name, model in models.items():
                model["targets"].append({"engine": "o", "model": name})
        models["base"] = {"targets": [{"engine": "e", "model": BASE}]}
        gateway = await stack.enter_async_context(running_gateway(document(engines=engines, models=models)))
        await gateway.plane._adapters.look()
        yield servers, gateway


def by(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-penstock-replica"])


async def test_a_request_for_an_adapter_goes_to_replicas_that_hold_it_and_to_no_other() -> None:
    async with serving(("sql",), ("own",), ("own", "sql")) as (servers, gateway):
        assert {"a", "c"} == {by(await gateway.chat("sql")) for _ in range(20)}
        assert {"b", "c"} == {by(await gateway.chat("own")) for _ in range(20)}
        assert {"a", "b", "c"} == {by(await gateway.chat("base")) for _ in range(40)}
        assert all(received.path == "/v1/chat/completions" for one in servers for received in one.upstream.received)


async def test_nothing_is_loaded_unless_the_operator_says_so() -> None:
    async with serving((), ()) as (servers, gateway):
        answer = await gateway.chat("sql")
        assert (502, "engine_model_not_found") == (answer.status_code, answer.json()["error"]["code"])
        assert [] == servers[0].asked + servers[1].asked


async def test_an_adapter_that_nobody_holds_is_loaded_once_however_many_want_it() -> None:
    async with serving((), (), load=True) as (servers, gateway):
        answers = await asyncio.gather(*[gateway.chat("sql", stream=stream) for stream in (True, False) * 4])
        assert [("load", "sql")] == servers[0].asked + servers[1].asked
        assert 1 == len({by(answer) for answer in answers})


async def test_adapters_of_the_budget_are_spread_and_the_least_recently_used_makes_room() -> None:
    async with serving((), (), load=True, per_replica=1) as (servers, gateway):
        first, second = by(await gateway.chat("sql")), by(await gateway.chat("law"))
        assert first != second
        gateway.worker._adapters._tell()
        await gateway.chat("sql")
        gateway.worker._adapters._tell()
        servers["ab".index(first)].upstream.models.append("own")  # its own, and nobody else's to unload
        await gateway.plane._adapters.look()
        gateway.plane.settings.engines["e"].adapters.paths["new"] = "/adapters/new"  # type: ignore[union-attr]
        assert "" == await gateway.plane._adapters.load("e", "new")
        assert [("load", "law"), ("unload", "law"), ("load", "new")] == servers["ab".index(second)].asked
        assert first == by(await gateway.chat("sql"))


async def test_a_server_that_fails_to_load_is_told_of_and_not_asked_again_at_once() -> None:
    async with serving((), load=True) as (servers, gateway):
        answers = [await gateway.chat("bad") for _ in range(3)]
        for answer in answers:
            error = answer.json()["error"]
            assert (503, "adapter_not_loaded", "5") == (
                answer.status_code,
                error["code"],
                answer.headers["retry-after"],
            )
            assert "No adapter found" in error["message"]
        paths = [received.path for received in servers[0].upstream.received]
        assert ["/v1/load_lora_adapter"] == paths


async def test_where_a_later_tier_serves_the_model_it_answers_for_an_adapter_that_cannot_be_loaded() -> None:
    async with serving((), load=True, fallback=True) as (_, gateway):
        answer = await gateway.chat("bad")
        assert (200, "o") == (answer.status_code, answer.headers["x-penstock-engine"])


async def test_servers_without_the_endpoints_are_told_of_by_what_they_said() -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].updates = False
        answer = await gateway.chat("sql")
        assert 503 == answer.status_code
        assert "/v1/load_lora_adapter answered 404" in answer.json()["error"]["message"]


async def test_what_somebody_else_has_loaded_meanwhile_is_no_failure() -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].upstream.models.append("sql")
        assert "a" == by(await gateway.chat("sql"))
        assert [] == servers[0].asked


async def test_a_replica_that_has_started_anew_and_lost_its_adapter_costs_no_answer() -> None:
    async with serving(("sql",), ("sql",)) as (servers, gateway):
        servers[0].upstream.models.remove("sql")
        assert {"b"} == {by(await gateway.chat("sql")) for _ in range(12)}
        await gateway.plane._adapters.look()
        before = len(servers[0].upstream.received)
        assert {"b"} == {by(await gateway.chat("sql")) for _ in range(12)}
        assert before == len(servers[0].upstream.received)


async def test_a_client_that_leaves_while_its_adapter_is_loaded_is_not_begun() -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].loading = gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(gateway.chat("sql"))
            await servers[0].upstream.request()
            asking.cancel()
        await gateway.until(lambda: not gateway.clients)
        gate.set()
        assert "a" == by(await gateway.chat("sql"))
        assert 2 == len(servers[0].upstream.received)


async def test_one_more_replica_loads_an_adapter_whose_holders_are_late() -> None:
    async with serving(("sql",), (), load=True) as (servers, gateway):
        state = gateway.worker.fleet.table.get(("e", "a"))
        state.charge(30_000, 0)
        assert "a" == by(await gateway.chat("sql"))
        await gateway.until(lambda: servers[1].asked)
        await gateway.until(lambda: "b" in gateway.worker.fleet.adapters.holders("e", "sql"))
        assert "b" == by(await gateway.chat("sql"))
        state.release(30_000, 0)
        assert [("load", "sql")] == servers[1].asked


async def test_what_a_server_says_of_adapters_in_use_is_known_before_its_list_is() -> None:
    async with serving((), ()) as (servers, gateway):
        page = 'vllm:lora_requests_info{max_lora="1",running_lora_adapters="sql",waiting_lora_adapters=""} 1.7e9\n'
        servers[1].upstream.page = page.encode()
        await gateway.plane.ask_loads()
        await gateway.plane._adapters.look()
        assert {"b"} == gateway.worker.fleet.adapters.holders("e", "sql")


async def test_a_change_of_the_configuration_forgets_what_is_no_adapter_any_more() -> None:
    async with serving(("sql",), ()) as (_, gateway):
        plane = gateway.plane
        del plane.settings.engines["e"].adapters.paths["sql"]  # type: ignore[union-attr]
        await plane._adapters.look()
        assert frozenset() == gateway.worker.fleet.adapters.holders("e", "sql")
        assert [] == plane._adapters.known().replicas[0].adapters
