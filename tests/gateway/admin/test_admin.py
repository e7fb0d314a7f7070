"""The admin API: for keys with the admin right, the same on every port, and nobody acts without a line in the log."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.admin.app import admin_app
from gateway.admin.passing import passed
from gateway.admin.replicas import ReplicaStatus
from gateway.identity import Keyring
from gateway.workers.messages import AdminRequest
from tests.scenario.gateway import AUTH, Gateway, running_gateway

pytestmark = pytest.mark.anyio

ADMIN = "sk-of-the-admin"
CONFIG = {
    "auth": {
        "keys": [*AUTH["keys"], {"id": "ops", "sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "admin": True}]
    },
    "engines": {
        "llama": {
            "kind": "vllm",
            "replicas": [{"url": "http://127.0.0.1:9", "id": "a"}, {"url": "http://127.0.0.1:13"}],
        },
        "hosted": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"},
    },
    "models": {"chat": {"targets": [{"engine": "llama"}, {"engine": "hosted"}]}},
    "health": {"interval_s": 600},
}


@pytest.fixture
async def gateway(anyio_backend: object) -> AsyncIterator[Gateway]:
    with structlog.testing.capture_logs():
        async with running_gateway(CONFIG) as gateway:
            yield gateway


def key(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


async def test_an_admin_key_lists_the_replicas_through_the_worker_s_port(gateway: Gateway) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = await gateway.http.get("/admin/v1/replicas", headers=key(ADMIN))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    listed = answer.json()["data"]
    assert [one["engine"] for one in listed] == ["llama", "llama", "hosted"]
    assert [one["draining"] for one in listed] == [False, False, False]
    assert listed[0]["replica"] == "a"
    assert {one["state"] for one in listed} <= {"ready", "unhealthy"}
    (line,) = [line for line in lines if line["event"] == "admin"]
    assert (line["key"], line["method"], line["path"], line["status"]) == ("ops", "GET", "/admin/v1/replicas", 200)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": "Bearer nobody's"}, 401, "invalid_api_key"),
        ({"authorization": ""}, 401, "invalid_api_key"),
        ({}, 403, "admin_not_allowed"),
    ],
    ids=["unknown key", "no key", "a key without the right"],
)
async def test_nobody_else_may(gateway: Gateway, headers: dict[str, str], status: int, code: str) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = await gateway.http.get("/admin/v1/replicas", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert [line for line in lines if line["event"] == "admin"] == []


async def test_what_is_not_there_and_what_is_too_large_is_told_in_openai_s_shape(gateway: Gateway) -> None:
    nothing = await gateway.http.get("/admin/v1/nothing", headers=key(ADMIN))
    other = await gateway.http.delete("/admin/v1/replicas", headers=key(ADMIN))
    large = await gateway.http.post("/admin/v1/replicas", headers=key(ADMIN), content=b"x" * (1024 * 1024 + 1))
    answers = [(answer.status_code, answer.json()["error"]["code"]) for answer in (nothing, other, large)]
    assert answers == [(404, "not_found"), (405, "method_not_allowed"), (413, "request_too_large")]
    assert "GET" in other.headers["allow"]


async def test_more_at_once_than_a_link_should_carry_is_refused(gateway: Gateway) -> None:
    gateway.worker._administering = 16
    answer = await gateway.http.get("/admin/v1/replicas", headers=key(ADMIN))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "control_plane_busy")
    gateway.worker._administering = 0
    assert (await gateway.http.get("/admin/v1/replicas", headers=key(ADMIN))).status_code == 200


# -- without keys ------------------------------------------------------------------------------------------------------


class Administered:
    """A gateway without keys."""

    def __init__(self, local: bool) -> None:
        self.keyring = Keyring()
        self.local = local

    def replicas(self) -> list[ReplicaStatus]:
        return [ReplicaStatus("e", "0", "ready")]


@pytest.mark.parametrize(("local", "status"), [(True, 200), (False, 403)])
async def test_an_open_gateway_is_administered_on_loopback_only(local: bool, status: int) -> None:
    transport = httpx.ASGITransport(app=admin_app(Administered(local)))
    with structlog.testing.capture_logs() as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            assert (await http.get("/admin/v1/replicas")).status_code == status
    assert [line["key"] for line in lines] == (["(open)"] if local else [])


# -- passing through ---------------------------------------------------------------------------------------------------


def asked(path: bytes = b"/admin/echo%20it", **other: Any) -> AdminRequest:
    return AdminRequest(**{"method": "POST", "path": path, "query": b"a=1", "headers": [], "body": b"{}", **other})


async def echo(request: Request) -> Response:
    body = await request.body()
    return PlainTextResponse(f"{request.url.path} {request.url.query} {body.decode()}", 201, {"x-kept": "yes"})


async def raises(_: Request) -> Response:
    raise RuntimeError("sk-secret")


APP = Starlette(
    routes=[Route("/admin/echo it", echo, methods=["POST"]), Route("/admin/raises", raises, methods=["POST"])]
)


async def test_a_request_and_its_answer_pass_as_they_are() -> None:
    answer = await passed(APP, asked())
    assert (answer.status, answer.body) == (201, b"/admin/echo it a=1 {}")
    assert (b"x-kept", b"yes") in answer.headers


@pytest.mark.parametrize("most_bytes", [1, 1000])
async def test_an_app_that_fails_or_answers_too_much_is_a_500_that_tells_nothing(most_bytes: int) -> None:
    path = b"/admin/echo%20it" if most_bytes == 1 else b"/admin/raises"
    with structlog.testing.capture_logs() as lines:
        answer = await passed(APP, asked(path), most_bytes=most_bytes)
    assert (answer.status, b"internal_error" in answer.body, b"sk-secret" in answer.body) == (500, True, False)
    assert [line["event"] for line in lines] == ["internal_error"]
