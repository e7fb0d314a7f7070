"""A new configuration under load: whole or not at all, and nobody in the middle of a request notices."""

from __future__ import annotations

import asyncio
import json
import pathlib
from typing import Any

import pytest
import structlog.testing

from tests.scenario.gateway import HELLO, document, one_model, running_gateway
from tests.scenario.upstream import DONE, WHOLE_STREAM, Answer, refusal, running_upstream, stream

pytestmark = pytest.mark.anyio


class File:
    """A configuration file that listens on a free port."""

    def __init__(self, directory: pathlib.Path, **sections: Any) -> None:
        self.path = directory / "penstock.yaml"
        self.sections: dict[str, Any] = {"server": {"port": 0}, **sections}
        self.write()

    def write(self, **sections: Any) -> None:
        """Replace these sections."""
        self.sections |= sections
        self.path.write_text(json.dumps(document(**self.sections)))


def models(*names: str, engine: str = "a") -> dict[str, Any]:
    return {name: {"targets": [{"engine": engine, "model": "upstream-model"}]} for name in names}


async def test_a_new_model_appears_and_an_old_one_goes(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as upstream:
        file = File(tmp_path, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            before = [(await gateway.chat(name)).status_code for name in ("chat", "fresh")]
            file.write(models=models("fresh"))
            assert await gateway.plane.reload()
            after = [(await gateway.chat(name)).status_code for name in ("chat", "fresh")]
            metrics = await gateway.metrics()
    assert [200, 404] == before
    assert [404, 200] == after
    assert {("applied",): 1.0} == metrics.labelled("penstock_config_reloads_total", "result")
    assert 1 == metrics.value("penstock_requests_total", model="fresh", code="200")


async def test_what_is_in_flight_finishes_on_what_it_began_with(tmp_path: pathlib.Path) -> None:
    gate = asyncio.Event()
    held = stream(WHOLE_STREAM[0], gate, *WHOLE_STREAM[1:])
    async with running_upstream(held) as old, running_upstream(stream()) as new:
        file = File(tmp_path, **one_model(old.url))
        async with running_gateway(file.path) as gateway:
            running = [asyncio.ensure_future(gateway.chat(stream=True)) for _ in range(5)]
            await old.request(4)
            file.write(
                engines={"b": {"kind": "vllm", "replicas": [{"url": new.url}]}}, models=models("chat", engine="b")
            )
            assert await gateway.plane.reload()
            fresh = await gateway.chat(stream=True)
            during = await gateway.metrics()
            gate.set()
            answers = await asyncio.gather(*running)
            await old.connections(0)  # what the old engine had is closed once it is done
            metrics = await gateway.metrics()
    assert "b" == fresh.headers["x-penstock-engine"]
    assert ["a"] * 5 == [answer.headers["x-penstock-engine"] for answer in answers]
    assert {fresh.content} == {answer.content for answer in answers}
    assert {("chat", "a"): 5.0} == during.labelled("penstock_in_flight", "model", "engine")
    assert {} == metrics.labelled("penstock_in_flight", "model", "engine")
    assert 5 == metrics.value("penstock_requests_total", engine="a", code="200")


async def test_what_a_launched_engine_has_in_flight_finishes_before_it_is_restarted(tmp_path: pathlib.Path) -> None:
    simulated = {"kind": "simulator", "ttft_ms": 1, "itl_ms": 10, "tokens": 50}
    file = File(tmp_path, engines={"a": simulated}, models={"chat": {"targets": [{"engine": "a"}]}})
    file.write(data_dir=str(tmp_path))
    async with running_gateway(file.path) as gateway:
        await gateway.plane.engines_started()
        request = gateway.http.stream(
            "POST", "/v1/chat/completions", json={"model": "chat", "stream": True, "messages": HELLO}
        )
        async with request as answer:
            parts = answer.aiter_bytes()
            body = await anext(parts)
            file.write(engines={"a": {**simulated, "tokens": 60}})
            reloading = asyncio.ensure_future(gateway.plane.reload())
            async for part in parts:
                body += part
        assert await reloading
        await gateway.plane.engines_started()
        after = await gateway.chat()
    assert body.endswith(DONE)
    assert 60 == after.json()["usage"]["completion_tokens"]


async def test_no_request_fails_while_configurations_come_and_go(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as one, running_upstream() as two:
        file = File(tmp_path, **one_model(one.url))
        async with running_gateway(file.path) as gateway:
            stop = False

            async def ask() -> list[int]:
                statuses = []
                while not stop:
                    statuses.append((await gateway.chat()).status_code)
                return statuses

            asking = [asyncio.ensure_future(ask()) for _ in range(4)]
            for turn in range(10):
                url = (one, two)[turn % 2].url
                file.write(
                    engines={"a": {"kind": "vllm", "replicas": [{"url": url}]}}, models=models("chat", f"m{turn}")
                )
                assert await gateway.plane.reload()
                await gateway.until(lambda: True)
            stop = True
            statuses = [status for asked in await asyncio.gather(*asking) for status in asked]
    assert {200} == set(statuses)
    assert len(one.received) + len(two.received) == len(statuses)


BAD: dict[str, Any] = {
    "a typo": {"modles": {}},
    "an engine nobody knows": {"models": models("chat", engine="nobody")},
    "a setting out of range": {"retry": {"max_attempts": 0}},
    "an unset variable": {"prices": {"x": {"input_usd_per_mtok": "${NOT_SET_ANYWHERE}", "output_usd_per_mtok": 1}}},
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_file_changes_nothing_and_says_why(tmp_path: pathlib.Path, what: str) -> None:
    async with running_upstream() as upstream:
        file = File(tmp_path, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            await gateway.chat()
            snapshot = gateway.worker.dispatcher.snapshot
            file.write(**BAD[what])
            with structlog.testing.capture_logs() as logs:
                assert not await gateway.plane.reload()
            answer = await gateway.chat()
            metrics = await gateway.metrics()
            assert snapshot is gateway.worker.dispatcher.snapshot
    assert 200 == answer.status_code
    (line,) = logs
    assert ("config_refused", "error") == (line["event"], line["log_level"])
    named = {"a typo": "modles", "an engine nobody knows": "nobody", "a setting out of range": "retry.max_attempts"}
    assert named.get(what, "NOT_SET_ANYWHERE") in line["why"]
    assert {("refused",): 1.0} == metrics.labelled("penstock_config_reloads_total", "result")


async def test_a_file_that_is_gone_or_no_yaml_changes_nothing(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as upstream:
        file = File(tmp_path, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            file.path.write_text("engines: [")
            assert not await gateway.plane.reload()
            file.path.unlink()
            assert not await gateway.plane.reload()
            answer = await gateway.chat()
            file.write(models=models("chat", "fresh"))
            assert await gateway.plane.reload()
            fresh = await gateway.chat("fresh")
            metrics = await gateway.metrics()
    assert [200, 200] == [answer.status_code, fresh.status_code]
    assert {("refused",): 2.0, ("applied",): 1.0} == metrics.labelled("penstock_config_reloads_total", "result")


@pytest.mark.parametrize(
    ("section", "value", "named"),
    [
        ("server", {"port": 1}, "server.port"),
        ("server", {"port": 0, "host": "127.0.0.2"}, "server.host"),
        ("server", {"port": 0, "workers": 2}, "server.workers"),
        ("data_dir", "/elsewhere", "data_dir"),
        ("telemetry", {"access_log": "stderr"}, "telemetry.access_log"),
    ],
)
async def test_what_cannot_change_while_it_runs_is_refused_with_a_sentence(
    tmp_path: pathlib.Path, section: str, value: Any, named: str
) -> None:
    async with running_upstream() as upstream:
        file = File(tmp_path, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            file.write(**{section: value}, models=models("chat", "fresh"))
            with structlog.testing.capture_logs() as logs:
                assert not await gateway.plane.reload()
            fresh = await gateway.chat("fresh")
    assert f"{named} cannot change while the gateway runs; restart it to change it" == logs[0]["why"]
    assert 404 == fresh.status_code


async def test_an_engine_keeps_its_warm_connections_whether_or_not_it_changed(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as kept, running_upstream() as changed:
        engines = {name: {"kind": "openai", "base_url": up.url} for name, up in (("a", kept), ("b", changed))}
        file = File(tmp_path, engines=engines, models=models("chat") | models("other", engine="b"))
        async with running_gateway(file.path) as gateway:
            await gateway.chat("chat")
            await gateway.chat("other")
            engines["b"]["timeouts"] = {"idle_s": 7}  # type: ignore[assignment]
            file.write(engines=engines)
            assert await gateway.plane.reload()
            await gateway.chat("chat")
            await gateway.chat("other")
    assert (1, 1) == (kept.connections_made, changed.connections_made)


async def test_what_was_learned_of_a_replica_survives(tmp_path: pathlib.Path) -> None:
    async with running_upstream(refusal(500)) as upstream, running_upstream() as alive:
        file = File(tmp_path, **one_model(upstream.url, alive.url, breaker={"min_failures": 1}))
        async with running_gateway(file.path) as gateway:
            await gateway.chat()
            file.write(models=models("chat", "fresh"))
            assert await gateway.plane.reload()
            answer = await gateway.chat("fresh")
            metrics = await gateway.metrics()
    assert (503, "no_replica_available") == (answer.status_code, answer.json()["error"]["code"])
    assert 1 == metrics.value("penstock_breaker_open", engine="a")
    assert 1 == len(upstream.received)


async def test_keys_change_at_once(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as upstream:
        file = File(tmp_path, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            file.write(auth={"keys": [{"id": "another", "sha256": "ab" * 32}]})
            assert await gateway.plane.reload()
            answer = await gateway.chat()
    assert 401 == answer.status_code


async def test_timeouts_and_prices_change_for_the_next_request(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as upstream:
        file = File(tmp_path, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            free = await gateway.chat()
            file.write(prices={"upstream-model": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1}})
            assert await gateway.plane.reload()
            priced = await gateway.chat()
    assert "x-penstock-cost-usd" not in free.headers
    assert pytest.approx(10e-6) == float(priced.headers["x-penstock-cost-usd"])


async def test_a_change_of_content_is_found_without_a_signal(tmp_path: pathlib.Path) -> None:
    async with running_upstream() as upstream:
        file = File(tmp_path, **one_model(upstream.url))
        async with running_gateway(file.path) as gateway:
            await gateway.plane.watch_files()
            file.path.touch()
            await gateway.plane.watch_files()
            unchanged = (await gateway.metrics()).value("penstock_config_reloads_total")
            file.write(models=models("fresh"))
            await gateway.plane.watch_files()
            answer = await gateway.chat("fresh")
            file.write(retry={"max_attempts": 0})
            for _ in range(3):
                await gateway.plane.watch_files()
            metrics = await gateway.metrics()
    assert 0 == unchanged
    assert 200 == answer.status_code
    assert {("applied",): 1.0, ("refused",): 1.0} == metrics.labelled("penstock_config_reloads_total", "result")


async def test_a_replica_removed_while_it_works_is_not_forgotten_before_it_is_done(tmp_path: pathlib.Path) -> None:
    gate = asyncio.Event()
    async with running_upstream(Answer([b"{}"], before=gate)) as upstream, running_upstream() as other:
        file = File(tmp_path, **one_model([upstream.url, other.url]))
        async with running_gateway(file.path) as gateway:
            asking = [asyncio.ensure_future(gateway.chat()) for _ in range(4)]
            await upstream.request()
            file.write(engines={"a": {"kind": "vllm", "replicas": [{"url": other.url}]}})
            assert await gateway.plane.reload()
            gate.set()
            answers = await asyncio.gather(*asking)
            await upstream.connections(0)
    assert [200] * 4 == [answer.status_code for answer in answers]
