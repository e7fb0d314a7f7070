"""Models, health, readiness, metrics, and what is not there."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engines.model import Operation
from gateway.fleet.members import Member
from gateway.links.questions import Answer, AskFailed, LinkFull, LinkLost
from gateway.workers.exchange.messages import MembersChanged, ToPlane
from tests.gateway.http.door import read_answers
from tests.scenario.gateway import KEY, Gateway

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0
NO_KEY = {"authorization": ""}


def card(name: str, gateway: Gateway) -> dict[str, Any]:
    """Of a model of which no engine tells: it was made when it was configured."""
    able = dict.fromkeys(("tools", "images", "schema", "reasoning"), True) | {"embeddings": False, "rerank": False}
    return {"id": name, "object": "model", "created": since(gateway), "owned_by": "penstock", "capabilities": able}


def since(gateway: Gateway) -> int:
    """When the gateway was configured, in Unix seconds."""
    created = gateway.worker.cards["chat-small"].created
    assert 0 <= time.time() - created < 600  # noqa: TID251 - what a client would compare it with
    return created


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object, in OpenAI's shape and no other."""
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert list(document) == ["error"]
    assert set(document["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = document["error"]
    return error


async def raw(gateway: Gateway, wire: bytes) -> bytes:
    """All that is answered to these bytes; the last request should close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(wire)
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    finally:
        writer.close()


# -- models ------------------------------------------------------------------------------------------------------------


async def test_the_models_are_listed(gateway: Gateway) -> None:
    response = await gateway.http.get("/v1/models")
    assert response.json() == {
        "object": "list",
        "data": [card("chat-small", gateway), card("chat-large", gateway), card("org/with-slash:8b", gateway)],
    }


async def test_a_client_of_anthropics_is_told_the_models_in_its_format(gateway: Gateway) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    told = (await gateway.http.get("/v1/models", headers=headers)).json()
    assert [model["id"] for model in told["data"]] == ["chat-small", "chat-large", "org/with-slash:8b"]
    assert (told["has_more"], told["first_id"], told["last_id"]) == (False, "chat-small", "org/with-slash:8b")
    one = (await gateway.http.get("/v1/models/chat-small", headers=headers)).json()
    assert one["capabilities"] == told["data"][0]["capabilities"]
    assert {name: value for name, value in one.items() if name != "capabilities"} == {
        "type": "model",
        "id": "chat-small",
        "display_name": "chat-small",
        "created_at": datetime.fromtimestamp(since(gateway), UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
    }


async def test_a_caller_sees_the_models_it_may_use_and_no_others(gateway: Gateway, limited: dict[str, str]) -> None:
    assert (await gateway.http.get("/v1/models", headers=limited)).json()["data"] == [card("chat-small", gateway)]
    assert (await gateway.http.get("/v1/models/chat-small", headers=limited)).json() == card("chat-small", gateway)
    for name in ("chat-large", "chat-larger", "chat-smaller", "org/with-slash:8b"):
        response = await gateway.http.get(f"/v1/models/{name}", headers=limited)
        assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")
        told = error_of(response)["message"].replace(repr(name), "")
        assert "chat-large" not in told
        assert "org/" not in told


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("chat-small", "chat-small"),
        ("chat%2Dsmall", "chat-small"),
        ("org/with-slash:8b", "org/with-slash:8b"),
        ("org%2Fwith%2Dslash%3A8b", "org/with-slash:8b"),
        ("chat-small?x=/../", "chat-small"),
    ],
)
async def test_one_model_is_found_by_its_name_however_it_is_encoded(gateway: Gateway, path: str, name: str) -> None:
    response = await gateway.http.get(f"/v1/models/{path}")
    assert (response.status_code, response.json()) == (200, card(name, gateway))


@pytest.mark.parametrize("name", ["chat-smal", "Chat-Small", "chatsmall", "chat_small"])
async def test_an_unknown_model_is_a_404_with_the_nearest_name_first(gateway: Gateway, name: str) -> None:
    response = await gateway.http.get(f"/v1/models/{name}")
    assert response.status_code == 404
    error = error_of(response)
    assert (error["type"], error["code"], error["param"]) == ("not_found_error", "model_not_found", "model")
    assert error["message"].startswith(f"the model {name!r} does not exist; did you mean chat-small")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/zzzzzzzz",
        "/v1/models/%2e%2e/%2e%2e/etc/passwd",
        "/v1/models/../../etc/passwd",
        "/v1/models/%00",
        "/v1/models/%ff%fe",
        "/v1/models/%",
        "/v1/models/chat-small//",
        "/v1/models/%22%3E%3Cscript%3E",
        "/v1/models/" + "x" * 20_000,
    ],
)
async def test_no_name_gets_past_the_list(gateway: Gateway, path: str) -> None:
    wire = b"GET %b HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer %b\r\n\r\n"
    (answer,) = read_answers(await raw(gateway, wire % (path.encode(), KEY.encode())), ended=True)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert len(answer.body) < 1000


@pytest.mark.parametrize("path", ["/v1/models/%0d%0ax-injected:%201", "/%0d%0ax-injected:%201", "/health%0d%0a"])
async def test_line_ends_in_a_path_inject_nothing(gateway: Gateway, path: str) -> None:
    response = await gateway.http.get(path)
    assert response.status_code == 404
    assert set(response.headers) == {"date", "x-request-id", "content-type", "content-length"}
    assert error_of(response)["type"] == "not_found_error"


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/chat-small", "/v1/models/unknown"])
@pytest.mark.parametrize("headers", [NO_KEY, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}])
async def test_models_need_a_key(gateway: Gateway, path: str, headers: dict[str, str]) -> None:
    response = await gateway.http.get(path, headers=headers)
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert "chat" not in response.text


async def test_a_wrong_key_and_none_are_told_apart_here_too(gateway: Gateway) -> None:
    wrong = await gateway.http.get("/v1/models", headers={"authorization": "Bearer wrong"})
    assert error_of(wrong)["message"] == "the API key is not known to this gateway"
    none = await gateway.http.get("/v1/models", headers=NO_KEY)
    assert error_of(none)["message"] == "no API key was given; send `Authorization: Bearer YOUR_KEY`"


async def test_a_key_may_come_as_anthropic_s_sdk_sends_it(gateway: Gateway) -> None:
    del gateway.http.headers["authorization"]
    assert (await gateway.http.get("/v1/models", headers={"x-api-key": KEY})).status_code == 200
    assert (await gateway.http.get("/v1/models", headers={"x-api-key": "wrong"})).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_orchestrators_need_no_key(gateway: Gateway, path: str) -> None:
    assert (await gateway.http.get(path, headers=NO_KEY)).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/models"])
async def test_nothing_says_a_key_or_an_upstream_s_address(gateway: Gateway, path: str) -> None:
    text = (await gateway.http.get(path)).text
    for secret in (KEY, "sk-upstream-secret", "http://127"):
        assert secret not in text


# -- health and readiness ----------------------------------------------------------------------------------------------


async def test_health_says_that_the_process_lives_whatever_its_engines_do(gateway: Gateway) -> None:
    response = await gateway.http.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_ready_says_that_requests_are_welcome_whatever_the_replicas_do(gateway: Gateway) -> None:
    everything = [
        Member(endpoint.engine, endpoint.replica, healthy=False)
        for route in gateway.worker.dispatcher.snapshot.fleet.models.values()
        for endpoint in route.endpoints()
    ]
    assert {"llama", "hosted"} == {replica.engine for replica in everything}
    gateway.worker.peer.told(MembersChanged(everything))
    await gateway.until(lambda: not any(state.healthy for state in gateway.worker.fleet.table))
    response = await gateway.http.get("/ready")  # the request that wakes a gateway scaled to zero must reach it
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_ready_turns_false_when_the_gateway_drains_and_health_does_not(gateway: Gateway) -> None:
    wires = []
    for path in (b"/ready", b"/health"):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET %b HTT" % path)  # a request on its way keeps its connection
        wires.append((reader, writer))
    # Answered after what was sent before it, on one loop: so both heads have begun to arrive.
    await gateway.http.get("/health")
    await gateway.http.get("/health")
    draining = asyncio.ensure_future(gateway.worker.drain(PATIENCE_S))
    answers = []
    for reader, writer in wires:
        writer.write(b"P/1.1\r\nhost: a\r\n\r\n")
        answers += read_answers(await asyncio.wait_for(reader.read(), PATIENCE_S), ended=True)
        writer.close()
    await asyncio.wait_for(draining, PATIENCE_S)
    assert [(a.status, a.body) for a in answers] == [(503, b'{"status":"draining"}'), (200, b'{"status":"ok"}')]


# -- metrics -----------------------------------------------------------------------------------------------------------


async def test_metrics_are_prometheus_text_and_count_what_was_refused(gateway: Gateway) -> None:
    await gateway.http.post("/v1/chat/completions", json={"model": "nowhere"})
    await gateway.http.post("/v1/chat/completions", json={"model": "chat-small"}, headers=NO_KEY)
    await raw(gateway, b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
    response = await gateway.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
    requests = [sample for sample in samples if sample.name == "penstock_requests_total" and sample.value]
    codes = {sample.labels["code"]: sample.value for sample in requests}
    assert codes == {"404": 1, "401": 1, "400": 1}
    kinds = {sample.labels["kind"] for sample in samples if sample.name == "penstock_errors_total" if sample.value}
    assert kinds == {"model_not_found", "invalid_api_key", "invalid_http"}


class DeafLink:
    """A link whose other end never answers."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def tell(self, message: ToPlane, *, bulk: bool = False) -> bool:
        return True

    def ask(
        self, message: ToPlane, answer: type[Answer], *, timeout_s: float, bulk: bool = False
    ) -> asyncio.Future[Answer]:
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting.set_exception(self._error)
        return waiting

    def close(self) -> None: ...


@pytest.mark.parametrize("error", [TimeoutError(), LinkLost(), LinkFull(), AskFailed("it is broken")], ids=repr)
async def test_metrics_that_the_control_plane_does_not_give_are_a_503(gateway: Gateway, error: Exception) -> None:
    link = gateway.worker._link
    assert link is not None
    gateway.worker.join(DeafLink(error))
    assert (await gateway.http.get("/metrics")).status_code == 503
    gateway.worker.join(link)
    assert (await gateway.http.get("/metrics")).status_code == 200


# -- what is not there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/x", "/v1", "/v2/chat/completions", "/v1/chat/completion/", "/models", "//v1"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_unknown_path_is_a_404_in_openai_s_shape(gateway: Gateway, method: str, path: str) -> None:
    wire = f"{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode()
    (answer,) = read_answers(await raw(gateway, wire), ended=True)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (404, "not_found_error", "not_found")
    assert repr(path) in answer.error["message"]


@pytest.mark.parametrize("host", ["", "[", "[::1", "a:b:c", "a/b?c#d", "\u00e4", "a b", "x" * 2000])
async def test_a_strange_host_is_a_400_or_breaks_nothing(gateway: Gateway, host: str) -> None:
    valid = host in ("", "x" * 2000)
    for path, served in (("/nothing", 404), ("/health", 200), ("/v1/models", 401)):
        status = served if valid else 400
        wire = f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode("latin-1")
        (answer,) = read_answers(await raw(gateway, wire), ended=True)
        assert answer.status == status


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/chat-small", "/health", "/ready", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
async def test_another_method_is_a_405_that_says_which_are_allowed(gateway: Gateway, method: str, path: str) -> None:
    response = await gateway.http.request(method, path)
    assert response.status_code == 405
    assert error_of(response)["code"] == "method_not_allowed"
    assert {"GET", "HEAD"} == set(response.headers["allow"].split(", "))


@pytest.mark.parametrize("operation", [operation for operation in Operation if operation is not Operation.RESPONSE])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_an_operation_takes_post_only(gateway: Gateway, method: str, operation: Operation) -> None:
    response = await gateway.http.request(method, operation.value)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert "POST" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/ready", "/metrics", "/nothing", "/v1/chat/completions"])
async def test_head_answers_as_get_does_but_for_the_body(gateway: Gateway, path: str) -> None:
    get = await gateway.http.get(path)
    head = await gateway.http.head(path)
    after = await gateway.http.get(path)
    assert get.status_code == head.status_code == after.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.content == b""
    assert int(head.headers["content-length"]) > 0


async def test_an_error_inside_is_a_500_in_openai_s_shape_that_says_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ValueError("postgres://user:secret@host")

    monkeypatch.setattr(gateway.worker, "exposition", broken)
    response = await gateway.http.get("/metrics")
    assert response.status_code == 500
    assert (error_of(response)["type"], error_of(response)["code"]) == ("server_error", "internal_error")
    assert "secret" not in response.text
    monkeypatch.undo()
    assert (await gateway.http.get("/metrics")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/messages", {}, 400),
        ("POST", "/v1/messages/", {}, 400),
        ("POST", "/v1/messages", {"authorization": "Bearer sk-wrong"}, 401),
        ("GET", "/v1/messages", {}, 405),
        ("GET", "/v1/models", {"anthropic-version": "2023-06-01"}, 200),
        ("GET", "/v1/models/nope", {"anthropic-version": "2023-06-01"}, 404),
    ],
)
async def test_clients_of_anthropic_s_find_the_requests_id_under_their_name(
    gateway: Gateway, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    named = {"x-request-id": "mine-1", **headers}
    response = await gateway.http.request(method, path, content=b"{" if method == "POST" else b"", headers=named)
    assert (status, "mine-1") == (response.status_code, response.headers["request-id"])
    other = await gateway.http.post("/v1/chat/completions", content=b"{")
    assert "request-id" not in other.headers


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/messages/nope", {}),
        ("/v1/messages/v1/messages", {}),
        ("/v1/v1/messages", {}),
        ("/v1/nothing", {"anthropic-version": "2023-06-01"}),
    ],
)
async def test_clients_of_anthropic_s_are_told_of_a_wrong_path_in_their_format(
    gateway: Gateway, path: str, headers: dict[str, str]
) -> None:
    response = await gateway.http.post(path, content=b"{}", headers={"x-request-id": "mine-1", **headers})
    told = response.json()
    assert (404, "error", "not_found_error", "mine-1") == (
        response.status_code,
        told["type"],
        told["error"]["type"],
        told["request_id"],
    )


@pytest.mark.parametrize("path", ["/openai/models", "/openai/v1/models"])
async def test_clients_of_azures_find_the_models_where_they_ask(gateway: Gateway, path: str) -> None:
    for own, azures in (("/v1/models", path), ("/v1/models/chat-small", f"{path}/chat-small")):
        told = await gateway.http.get(f"{azures}?api-version=2024-10-21")
        assert (200, (await gateway.http.get(own)).json()) == (told.status_code, told.json())


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/batches", "it is not relayed by this gateway, and GET /docs says what there is"),
        ("/favicon.ico", "the API is under /v1, and GET /docs says what there is"),
        ("/admin/v1/nothing", "it is not of the admin API, and GET /admin/v1 says what there is"),
        ("/admin/v1/rollouts", "did you mean /admin/v1/experiments?"),
        ("/healthz", "did you mean /health?"),
        ("/readyz/", "did you mean /ready?"),
    ],
)
async def test_a_path_that_nobody_serves_says_where_to_look(gateway: Gateway, path: str, said: str) -> None:
    assert error_of(await gateway.http.post(path, content=b"{}"))["message"] == f"there is nothing at '{path}'; {said}"


async def test_a_mistyped_path_is_told_what_was_meant(gateway: Gateway) -> None:
    response = await gateway.http.post("/v1/chat/completion", content=b"{}")
    assert error_of(response)["message"] == (
        "there is nothing at '/v1/chat/completion'; did you mean /v1/chat/completions?"
    )
