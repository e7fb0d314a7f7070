"""A response that an engine keeps is asked for where it is kept, by whoever made it, whichever worker is asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.control.configuration.source import Source
from gateway.control.plane import Plane
from gateway.http.listen import bind, url_of
from gateway.links.link import LocalLink
from gateway.process.supervisor import Supervisor
from gateway.workers.worker import Worker
from tests.scenario.gateway import AUTH, LONGEST_S, document, events_of, running_gateway
from tests.scenario.upstream import Answer, Received, Upstream, running_upstream

pytestmark = pytest.mark.anyio

OTHER = "sk-of-another-tenant"
KEYS = {"id": "other", "sha256": hashlib.sha256(OTHER.encode()).hexdigest(), "tenant": "others"}
USAGE = {"input_tokens": 3, "output_tokens": 4}
EVENTS = (("content-type", "text/event-stream"),)


def event(kind: str, number: int, **fields: Any) -> bytes:
    told = {"type": kind, "sequence_number": number, **fields}
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()


def stateful(upstream: Upstream, name: str) -> None:
    """Make it an engine that keeps its responses: `resp_NAME_1`, `resp_NAME_2`, ... ."""
    kept: dict[str, str] = {}

    def missing(response_id: str) -> Answer:
        error = {"message": f"Response with id '{response_id}' not found.", "type": "invalid_request_error"}
        return Answer([json.dumps({"error": error}).encode()], status=404)

    def answer(received: Received) -> Answer:
        path, _, query = received.path.partition("?")
        response_id = path.split("/")[3] if path.count("/") > 2 else ""
        if not response_id:
            previous = received.json.get("previous_response_id")
            if previous and previous not in kept:
                return missing(previous)
            response_id = f"resp_{name}_{len(kept) + 1}"
            kept[response_id] = "completed"
        elif response_id not in kept:
            return missing(response_id)
        elif received.method == "DELETE":
            del kept[response_id]
            return Answer([json.dumps({"id": response_id, "deleted": True}).encode()])
        elif path.endswith("/cancel"):
            kept[response_id] = "failed"
        whole: dict[str, Any] = {"id": response_id, "object": "response", "status": kept[response_id], "usage": USAGE}
        if kept[response_id] == "failed":
            whole["error"] = {"code": "cancelled", "message": "It was cancelled."}
        if "stream=true" in query or (received.method == "POST" and received.body and received.json.get("stream")):
            first = event("response.created", 0, response={**whole, "status": "in_progress", "usage": None})
            text = event("response.output_text.delta", 1, delta="Hi")
            return Answer([first, text, event("response.completed", 2, response=whole)], headers=EVENTS)
        return Answer([json.dumps(whole).encode()])

    upstream.always = answer


@asynccontextmanager
async def engines(number: int) -> AsyncIterator[list[Upstream]]:
    async with AsyncExitStack() as stack:
        started = [await stack.enter_async_context(running_upstream()) for _ in range(number)]
        for at, upstream in enumerate(started):
            stateful(upstream, "abcdef"[at])
        yield started


def served_by(upstreams: list[Upstream], **sections: Any) -> dict[str, Any]:
    replicas = [{"id": "abcdef"[at], "url": one.url + "/v1"} for at, one in enumerate(upstreams)]
    return document(
        engines={"e": {"kind": "openai", "replicas": replicas}},
        models={"chat": {"targets": [{"engine": "e"}], "policy": {"name": "round_robin"}}},
        **{"auth": {"keys": [*AUTH["keys"], KEYS]}, **sections},
    )


async def made(http: httpx.AsyncClient, **fields: Any) -> tuple[str, str]:
    """The id of a new response, and the replica that made it."""
    answer = await http.post("/v1/responses", json={"model": "chat", "input": "hi", **fields})
    assert answer.status_code == 200
    if fields.get("stream"):
        return events_of(answer.content)[-1]["response"]["id"], answer.headers["x-penstock-replica"]
    return answer.json()["id"], answer.headers["x-penstock-replica"]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_follows_a_response_goes_where_that_is_kept(stream: bool) -> None:
    async with engines(3) as upstreams, running_gateway(served_by(upstreams)) as gateway:
        homes = dict([await made(gateway.http, stream=stream) for _ in range(6)])
        assert set(homes.values()) == {"a", "b", "c"}
        for response_id, replica in homes.items():
            for _ in range(2):
                assert (await made(gateway.http, previous_response_id=response_id, stream=stream))[1] == replica


async def test_a_stored_response_is_read_followed_cancelled_and_deleted() -> None:
    async with engines(3) as upstreams, running_gateway(served_by(upstreams)) as gateway:
        ids = [(await made(gateway.http))[0] for _ in range(3)]
        for response_id in ids:
            path = f"/v1/responses/{response_id}"
            read = await gateway.http.get(path)
            assert (read.status_code, read.json()["id"]) == (200, response_id)
            followed = await gateway.http.get(path, params={"stream": "true", "starting_after": "0"})
            events = events_of(followed.content)
            assert [one["type"] for one in events] == [
                "response.created",
                "response.output_text.delta",
                "response.completed",
            ]
            cancelled = await gateway.http.post(path + "/cancel")
            assert (cancelled.status_code, cancelled.json()["status"]) == (200, "failed")
            assert (await gateway.http.get(path)).status_code == 200  # that it failed is not a failure to read it
            assert (await gateway.http.delete(path)).json() == {"id": response_id, "deleted": True}
            gone = await gateway.http.get(path)
            assert (gone.status_code, gone.json()["error"]["type"]) == (404, "invalid_request_error")
        queries = {request.path.partition("?")[2] for upstream in upstreams for request in upstream.received}
        assert queries == {"", "stream=true&starting_after=0"}
        # What was made is counted once, however often it is read.
        metrics = await gateway.metrics()
        assert metrics.value("penstock_tokens_total", kind="output", model="chat") == 3 * USAGE["output_tokens"]
        operations = {record.operation for record in gateway.records.all}
        assert operations == {"/v1/responses", "/v1/responses/{id}", "/v1/responses/{id}/cancel"}


async def test_an_id_that_nobody_knows_is_refused_where_it_could_be_anywhere() -> None:
    async with engines(2) as upstreams, running_gateway(served_by(upstreams)) as gateway:
        body = {"model": "chat", "input": "hi", "previous_response_id": "resp_x"}
        answer = await gateway.http.post("/v1/responses", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "response_not_found")
        assert answer.json()["error"]["param"] == "previous_response_id"
        says = "response 'resp_x': model 'chat' has 2 replicas, and which of them holds it is not known; it was made"
        assert answer.json()["error"]["message"].startswith(says)
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
            refused = await gateway.http.request(method, "/v1/responses/resp_x" + path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "response_not_found")
        assert (await gateway.http.get("/v1/responses/..%2fmodels")).status_code == 404
        wrong = await gateway.http.put("/v1/responses/resp_x")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, DELETE")
        assert not any(upstream.received for upstream in upstreams)


async def test_of_a_single_replica_and_a_single_tenant_its_engine_says_what_it_has() -> None:
    async with engines(1) as upstreams, running_gateway(served_by(upstreams, auth=AUTH)) as gateway:
        for answer in (
            await gateway.http.get("/v1/responses/resp_x"),
            await gateway.http.post("/v1/responses", json={"model": "chat", "previous_response_id": "resp_x"}),
        ):
            assert answer.status_code == 404
            assert answer.json()["error"]["message"] == "Response with id 'resp_x' not found."
        assert len(upstreams[0].received) == 2


async def test_what_nobody_knows_may_be_another_tenants_even_of_a_single_replica() -> None:
    async with engines(1) as upstreams, running_gateway(served_by(upstreams)) as gateway:
        theirs = (await gateway.http.post(upstreams[0].url + "/v1/responses", json={"input": "hi"})).json()["id"]
        asked = len(upstreams[0].received)
        for answer in (
            await gateway.http.get(f"/v1/responses/{theirs}"),
            await gateway.http.delete(f"/v1/responses/{theirs}"),
            await gateway.http.post("/v1/responses", json={"model": "chat", "previous_response_id": theirs}),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "response_not_found")
            assert "whose it is" in answer.json()["error"]["message"]
        assert len(upstreams[0].received) == asked


async def test_another_tenant_does_not_hear_of_it() -> None:
    async with engines(1) as upstreams, running_gateway(served_by(upstreams)) as gateway:
        response_id, _ = await made(gateway.http)
        asked = len(upstreams[0].received)
        theirs = {"authorization": f"Bearer {OTHER}"}
        body = {"model": "chat", "input": "hi", "previous_response_id": response_id}
        answers = [
            await gateway.http.get(f"/v1/responses/{response_id}", headers=theirs),
            await gateway.http.delete(f"/v1/responses/{response_id}", headers=theirs),
            await gateway.http.post("/v1/responses", json=body, headers=theirs),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert len(upstreams[0].received) == asked
        nobody = await gateway.http.get(f"/v1/responses/{response_id}", headers={"authorization": "Bearer no"})
        assert nobody.status_code == 401


async def test_a_reload_forgets_nothing_and_a_replica_that_left_is_named(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    async with engines(3) as upstreams:
        file.write_text(json.dumps(served_by(upstreams, server={"port": 0})))
        async with running_gateway(file) as gateway:
            homes = {replica: response_id for response_id, replica in [await made(gateway.http) for _ in range(3)]}
            file.write_text(json.dumps(served_by(upstreams[:2], server={"port": 0})))
            assert await gateway.plane.reload()
            assert (await gateway.http.get(f"/v1/responses/{homes['b']}")).status_code == 200
            gone = await gateway.http.get(f"/v1/responses/{homes['c']}")
            assert (gone.status_code, gone.json()["error"]["code"]) == (410, "response_gone")
            assert gone.json()["error"]["message"] == (
                f"response '{homes['c']}' was held by replica 'c' of engine 'e', which no longer serves 'chat'"
            )
            body = {"model": "chat", "input": "hi", "previous_response_id": homes["c"]}
            assert (await gateway.http.post("/v1/responses", json=body)).status_code == 410


async def test_a_replica_that_is_down_is_not_replaced_by_another() -> None:
    async with engines(2) as upstreams, running_gateway(served_by(upstreams)) as gateway:
        response_id, replica = await made(gateway.http)
        held = upstreams["ab".index(replica)]
        other = upstreams[1 - "ab".index(replica)]
        held.always = Answer([b'{"error": {"message": "no"}}'], status=503)
        asked = len(other.received)
        answer = await gateway.http.get(f"/v1/responses/{response_id}")
        assert answer.status_code == 503
        assert answer.headers["x-penstock-replica"] == replica
        assert len(other.received) == asked


@asynccontextmanager
async def two_workers(config: dict[str, Any]) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A control plane and two workers that share this loop and nothing else; a client of each."""
    supervisors = [Supervisor() for _ in range(3)]
    plane = Plane(Source(None, json.dumps(config), server={"port": 0}), supervisors[0], workers=2)
    async with AsyncExitStack() as stack:
        workers, clients = [], []
        for at, supervisor in enumerate(supervisors[1:]):
            worker = Worker(supervisor, workers=2)
            worker.join(LocalLink(plane.peer(str(at)), supervisor.spawn))
            assert await plane.attach(str(at), LocalLink(worker.peer, supervisor.spawn)) == ""
            sockets = bind(plane.settings.server, 1)
            await worker.listen(sockets)
            workers.append(worker)
            url = url_of(sockets[0], plane.settings.server)
            key = {"authorization": "Bearer sk-of-the-tests"}
            clients.append(await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=key)))
        await plane.start()
        try:
            yield clients
        finally:
            await plane.stop(0.0)
            for worker in workers:
                await asyncio.wait_for(worker.drained.wait(), LONGEST_S)
            for supervisor in supervisors:
                await supervisor.close()


async def test_what_one_worker_has_seen_another_can_ask_for() -> None:
    async with engines(3) as upstreams, two_workers(served_by(upstreams)) as (one, other):
        for stream in (False, True, False, True):
            response_id, replica = await made(one, stream=stream)
            read = await other.get(f"/v1/responses/{response_id}")
            assert (read.status_code, read.headers["x-penstock-replica"]) == (200, replica)
            assert (await made(other, previous_response_id=response_id))[1] == replica
        unknown = await other.get("/v1/responses/resp_x")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "response_not_found")
