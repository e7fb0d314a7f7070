"""LoRA adapters behind engines that speak vLLM's endpoints: a request goes where its adapter is, or has it loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog

from gateway.body.held import BOUND_BYTES
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
        self.unloading: asyncio.Event | None = None
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
            unloaded = text(f"Success: LoRA adapter '{name}' removed successfully.")
            return unloaded if self.unloading is None else Answer(unloaded.pieces, before=self.unloading)
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
        await gateway.plane.asking.adapters.look()
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


async def test_replicas_that_came_since_the_last_round_are_asked_what_they_hold_before_one_loads_an_adapter() -> None:
    async with serving((), ("sql",), load=True) as (servers, gateway):
        adapters = gateway.plane.asking.adapters
        adapters._held.clear()
        assert "" == await adapters.load("e", "sql")
        assert [] == servers[0].asked + servers[1].asked
        adapters._held.clear()
        assert "" == await adapters.load("e", "law")
        assert [("load", "law")] == servers[0].asked + servers[1].asked


async def test_adapters_of_the_budget_are_spread_and_the_least_recently_used_makes_room() -> None:
    async with serving((), (), load=True, per_replica=1) as (servers, gateway):
        first, second = by(await gateway.chat("sql")), by(await gateway.chat("law"))
        assert first != second
        gateway.worker.adapters._tell()
        await gateway.chat("sql")
        gateway.worker.adapters._tell()
        servers["ab".index(first)].upstream.models.append("own")  # its own, and nobody else's to unload
        await gateway.plane.asking.adapters.look()
        gateway.plane.settings.engines["e"].adapters.paths["new"] = "/adapters/new"  # type: ignore[union-attr]
        assert "" == await gateway.plane.asking.adapters.load("e", "new")
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
            assert error["message"].endswith("the engine refused to load it with status 404")
        paths = [received.path for received in servers[0].upstream.received]
        assert ["/v1/load_lora_adapter"] == paths


async def test_a_canary_whose_adapter_cannot_be_loaded_has_errors_that_count() -> None:
    async with running_upstream() as upstream:
        Server(upstream, "sql")
        paths = {"sql": "/adapters/sql", "bad": BROKEN}
        replicas = [{"id": "a", "url": upstream.url}]
        engines = {"e": {"kind": "vllm", "replicas": replicas, "adapters": {"paths": paths, "load": True}}}
        canary = {"weight": 100, "targets": [{"engine": "e", "model": "bad"}]}
        experiment = {"salt": "s", "unit": "request", "arms": {"control": {}, "canary": canary}}
        chat = {"targets": [{"engine": "e", "model": "sql"}], "experiment": experiment}
        async with running_gateway(document(engines=engines, models={"chat": chat})) as gateway:
            await gateway.plane.asking.adapters.look()
            assert [503] * 3 == [(await gateway.chat("chat")).status_code for _ in range(3)]
            labels = {"model": "chat", "arm": "canary"}
            await gateway.metric(3, "penstock_experiment_requests_total", **labels)
            await gateway.metric(3, "penstock_experiment_events_total", **labels, metric="errors")


async def test_where_a_later_tier_serves_the_model_it_answers_for_an_adapter_that_cannot_be_loaded() -> None:
    async with serving((), load=True, fallback=True) as (_, gateway):
        answer = await gateway.chat("bad")
        assert (200, "o") == (answer.status_code, answer.headers["x-penstock-engine"])


async def test_servers_without_the_endpoints_are_told_of_by_their_status() -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].updates = False
        answer = await gateway.chat("sql")
        assert 503 == answer.status_code
        assert "the engine refused to load it with status 404" in answer.json()["error"]["message"]


async def test_what_a_server_says_of_its_files_is_told_to_no_client() -> None:
    async with serving((), load=True) as (_, gateway):
        with structlog.testing.capture_logs() as logs:
            answer = await gateway.chat("bad")
        assert BROKEN not in answer.text
        (line,) = [line for line in logs if line["event"] == "adapter_not_loaded"]
        assert BROKEN in line["why"]


async def test_what_goes_wrong_inside_is_told_to_no_client() -> None:
    async with serving((), load=True) as (_, gateway):
        del gateway.plane.asking.adapters._held  # whatever it is, it raises an exception that nobody expects
        answer = await gateway.chat("sql")
        assert (503, "adapter_not_loaded") == (answer.status_code, answer.json()["error"]["code"])
        assert answer.json()["error"]["message"].endswith("the control plane could not be asked")
        gateway.plane.asking.adapters._held = {}


async def test_an_engine_that_is_removed_while_its_adapter_waits_its_turn_is_no_error() -> None:
    async with serving((), load=True) as (_, gateway):
        adapters = gateway.plane.asking.adapters
        await adapters.load("e", "sql")
        async with adapters._served["e"].turn, asyncio.TaskGroup() as group:
            loading = group.create_task(adapters.load("e", "law"))
            await asyncio.sleep(0)
            section = gateway.plane.settings.engines.pop("e")
            adapters._served["e"].turn.release()
            assert "no replica has room for it" == await loading
            await adapters._served["e"].turn.acquire()
        gateway.plane.settings.engines["e"] = section


async def test_a_replica_that_cannot_load_keeps_no_adapter_from_the_others() -> None:
    async with serving((), ("law",), load=True) as (servers, gateway):
        servers[0].updates = False
        assert "b" == by(await gateway.chat("sql"))
        assert [("load", "sql")] == servers[1].asked


async def test_each_time_others_are_tried_than_those_that_could_not_load() -> None:
    async with serving((), (), ("law",), load=True) as (servers, gateway):
        servers[0].updates = servers[1].updates = False
        assert 503 == (await gateway.chat("sql")).status_code
        gateway.plane.asking.adapters._served["e"].failed.clear()  # some seconds later
        assert "c" == by(await gateway.chat("sql"))
        assert [1, 1] == [len(one.upstream.received) for one in servers[:2]]


async def test_a_lone_replica_is_asked_again_for_what_it_could_not_load() -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].updates = False
        assert 503 == (await gateway.chat("sql")).status_code
        gateway.plane.asking.adapters._served["e"].failed.clear()
        servers[0].updates = True
        assert "a" == by(await gateway.chat("sql"))


async def test_for_an_adapter_that_nobody_can_load_no_more_than_one_other_is_unloaded() -> None:
    async with serving(("law",), ("sql",), load=True, per_replica=1) as (servers, gateway):
        for _ in range(3):
            assert 503 == (await gateway.chat("bad")).status_code
            gateway.plane.asking.adapters._served["e"].failed.clear()
        assert 1 == len(servers[0].asked + servers[1].asked)


async def test_what_is_being_unloaded_is_not_taken_for_held_whenever_it_was_listed() -> None:
    async with serving(("law",), load=True, per_replica=1) as (servers, gateway):
        adapters, book = gateway.plane.asking.adapters, gateway.worker.fleet.adapters
        servers[0].unloading = gate = asyncio.Event()
        engine = dict(gateway.plane._engines.telling())["e"]
        async with asyncio.TaskGroup() as group:
            before = group.create_task(adapters._ask(engine, ("e", "a")))
            await asyncio.sleep(0)  # it asks now, and hears of `law`
            group.create_task(adapters.load("e", "sql"))
            await gateway.until(lambda: not book.holders("e", "law"))
            await before
            await adapters.look()  # and so does this
            await asyncio.sleep(0)
            assert frozenset() == book.holders("e", "law")
            gate.set()
        assert [("unload", "law"), ("load", "sql")] == servers[0].asked
        await gateway.until(lambda: book.holders("e", "sql"))


async def test_what_was_unloaded_is_gone_though_metrics_of_before_name_it() -> None:
    async with serving(("law",), load=True, per_replica=1) as (servers, gateway):
        adapters, plane = gateway.plane.asking.adapters, gateway.plane
        page = 'vllm:lora_requests_info{max_lora="1",running_lora_adapters="law",waiting_lora_adapters=""} 1.7e9\n'
        engine = dict(plane._engines.telling())["e"]
        await adapters._unload(engine, ("e", "a"), "law")
        servers[0].upstream.page = page.encode()
        await plane.asking.ask_loads()
        await adapters.look()
        assert frozenset() == adapters._held["e", "a"]
        servers[0].upstream.page = page.replace("law", "").encode()
        await plane.asking.ask_loads()
        await adapters.look()
        servers[0].upstream.page = page.encode()  # somebody has loaded it again
        await plane.asking.ask_loads()
        await adapters.look()
        assert {"law"} == adapters._held["e", "a"]


async def test_what_somebody_else_has_loaded_meanwhile_is_no_failure() -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].upstream.models.append("sql")
        assert "a" == by(await gateway.chat("sql"))
        assert [] == servers[0].asked


async def test_a_replica_that_has_started_anew_and_lost_its_adapter_costs_no_answer() -> None:
    async with serving(("sql",), ("sql",)) as (servers, gateway):
        servers[0].upstream.models.remove("sql")
        assert {"b"} == {by(await gateway.chat("sql")) for _ in range(12)}
        await gateway.plane.asking.adapters.look()
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
        await gateway.plane.asking.ask_loads()
        await gateway.plane.asking.adapters.look()
        assert {"b"} == gateway.worker.fleet.adapters.holders("e", "sql")


async def test_a_change_of_the_configuration_forgets_what_is_no_adapter_any_more() -> None:
    async with serving(("sql",), ()) as (_, gateway):
        plane = gateway.plane
        del plane.settings.engines["e"].adapters.paths["sql"]  # type: ignore[union-attr]
        await plane.asking.adapters.look()
        assert frozenset() == gateway.worker.fleet.adapters.holders("e", "sql")
        assert [] == next(plane.asking.adapters.known()).replicas[0].adapters


async def test_adapters_are_told_of_as_used_when_requests_were_sent_for_them() -> None:
    async with serving(("sql", "law"), load=True) as (_, gateway):
        for name in ("law", "sql", "own", "base"):
            await gateway.chat(name)
        used = gateway.worker.fleet.adapters.used
        assert [("e", "law"), ("e", "sql")] == list(used)
        gateway.worker.adapters._tell()
        assert {} == used
        await gateway.until(lambda: "e" in gateway.plane.asking.adapters._served)
        assert {"law", "sql"} == gateway.plane.asking.adapters._served["e"].used_s.keys()


async def test_the_body_of_a_request_that_waits_for_an_adapter_is_counted_until_it_begins() -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].loading = gate = asyncio.Event()
        held = gateway.worker.fleet.held
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(gateway.chat("sql"))
            await servers[0].upstream.request()
            assert held.bytes > 0
            gate.set()
            assert "a" == by(await asking)
        assert 0 == held.bytes


async def test_who_finds_no_room_for_its_body_does_not_wait_for_an_adapter() -> None:
    async with serving((), load=True) as (servers, gateway):
        held = gateway.worker.fleet.held
        assert held.hold(BOUND_BYTES)
        answer = await gateway.chat("sql")
        held.release(BOUND_BYTES)
        assert (503, "adapter_not_loaded") == (answer.status_code, answer.json()["error"]["code"])
        assert "too many requests wait" in answer.json()["error"]["message"]
        assert [] == servers[0].asked


@pytest.mark.parametrize(("name", "value"), [("x-request-timeout-ms", "1"), ("x-stainless-read-timeout", "0.001")])
async def test_nobody_waits_for_an_adapter_longer_than_the_client_does(name: str, value: str) -> None:
    async with serving((), load=True) as (servers, gateway):
        servers[0].loading = gate = asyncio.Event()
        answer = await gateway.chat("sql", headers={name: value})
        assert (503, "adapter_not_loaded") == (answer.status_code, answer.json()["error"]["code"])
        assert "it takes longer than" in answer.json()["error"]["message"]
        gate.set()
        assert "a" == by(await gateway.chat("sql"))
