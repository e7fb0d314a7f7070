"""The admin API: for keys with the admin right, the same on every port, and nobody acts without a line in the log."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.admin.app import admin_app, admin_routes
from gateway.admin.autoscale import AT_ONCE
from gateway.admin.feedback import KeepsFeedback
from gateway.admin.passing import passed
from gateway.admin.replicas import ReplicaStatus
from gateway.control.releases.rollout import Releases
from gateway.control.scaling.decisions import Decided
from gateway.explanation.views import AskRouting, Explained
from gateway.identity import Keyring
from gateway.settings import load_settings
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.messages import AskRead, FreezeDrift, Read
from gateway.workers.exchange.messages import AdminRequest
from tests.gateway.control.releases.world import FakeHooks
from tests.scenario.gateway import AUTH, Gateway, one_model, running_gateway
from tests.scenario.upstream import running_upstream

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


async def test_an_index_says_what_there_is_and_which_right_it_needs(gateway: Gateway) -> None:
    told = [await gateway.http.get(path, headers=key(ADMIN)) for path in ("/admin/v1", "/admin/v1/")]
    assert [answer.status_code for answer in told] == [200, 200]
    assert told[0].json() == told[1].json()
    rows = told[0].json()["data"]
    assert {row["needs"] for row in rows} == {"a key with `admin: true`"}
    served = [
        (method, re.sub(r"\{[^}]*\}", "{}", route.path))
        for route in admin_routes(gateway.plane, lambda: True)
        for method in route.methods or ()
        if method != "HEAD" and route.path.startswith("/admin/") and not route.path.endswith("/")
    ]
    listed = [(row["method"], re.sub(r"\{engine\}/\{[^}]*\}", "{}", row["path"])) for row in rows]
    assert sorted(listed) == sorted(served)
    (start,) = [row for row in rows if row["path"].endswith("/start")]
    assert (start["query"], start["summary"]) == (["model"], "Begin it")


async def test_the_index_is_for_those_who_may_administer(gateway: Gateway) -> None:
    answer = await gateway.http.get("/admin/v1")
    assert (answer.status_code, "has no `admin: true`" in answer.json()["error"]["message"]) == (403, True)


async def test_what_is_not_there_and_what_is_too_large_is_told_in_openai_s_shape(gateway: Gateway) -> None:
    nothing = await gateway.http.get("/admin/v1/nothing", headers=key(ADMIN))
    other = await gateway.http.delete("/admin/v1/replicas", headers=key(ADMIN))
    large = await gateway.http.post("/admin/v1/replicas", headers=key(ADMIN), content=b"x" * (1024 * 1024 + 1))
    answers = [(answer.status_code, answer.json()["error"]["code"]) for answer in (nothing, other, large)]
    assert answers == [(404, "not_found"), (405, "method_not_allowed"), (413, "request_too_large")]
    assert "GET" in other.headers["allow"]


async def test_more_at_once_than_a_link_should_carry_is_refused(gateway: Gateway) -> None:
    gateway.worker._administering._waiting = 16
    answer = await gateway.http.get("/admin/v1/replicas", headers=key(ADMIN))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "control_plane_busy")
    gateway.worker._administering._waiting = 0
    assert (await gateway.http.get("/admin/v1/replicas", headers=key(ADMIN))).status_code == 200


# -- draining ----------------------------------------------------------------------------------------------------------


async def test_a_replica_that_is_drained_gets_nothing_new_until_it_is_undrained() -> None:
    async with running_upstream() as one, running_upstream() as two:
        engine = {"kind": "vllm", "replicas": [{"url": one.url, "id": "rack/1"}, {"url": two.url, "id": "2:x"}]}
        config = {**CONFIG, **one_model(engine)}
        config["models"]["chat"]["policy"] = {"name": "round_robin"}
        async with running_gateway(config) as gateway:
            (state,) = [state for state in gateway.worker.fleet.table if state.key == ("a", "rack/1")]

            async def asked(what: str) -> Any:
                with structlog.testing.capture_logs() as lines:
                    answer = await gateway.http.post(f"/admin/v1/replicas/a/rack/1/{what}", headers=key(ADMIN))
                (line,) = [line for line in lines if line["event"] == "admin"]
                assert (line["key"], line["method"], line["status"]) == ("ops", "POST", answer.status_code)
                assert line["path"] == f"/admin/v1/replicas/a/rack/1/{what}"
                await gateway.until(lambda: state.draining == (what == "drain"))
                return answer.json()

            for _ in range(2):  # the second time changes nothing
                told = await asked("drain")
                assert told == {"engine": "a", "replica": "rack/1", "state": "ready", "draining": True}
            assert {(await gateway.chat()).headers["x-penstock-replica"] for _ in range(4)} == {"2:x"}
            listed = (await gateway.http.get("/admin/v1/replicas", headers=key(ADMIN))).json()["data"]
            assert [one["draining"] for one in listed] == [True, False]
            assert (await asked("undrain"))["draining"] is False
            assert {(await gateway.chat()).headers["x-penstock-replica"] for _ in range(4)} == {"2:x", "rack/1"}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("llama/z/drain", "there is no replica 'llama/z'; GET /admin/v1/replicas lists"),
        ("nobody/a/undrain", "there is no replica 'nobody/a'"),
        ("llama/drain", "there is no replica 'llama'"),
    ],
)
async def test_a_replica_that_is_not_there_cannot_be_drained(gateway: Gateway, path: str, says: str) -> None:
    answer = await gateway.http.post(f"/admin/v1/replicas/{path}", headers=key(ADMIN))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.json()["error"]["message"].startswith(says)


async def test_draining_needs_an_admin_key_and_a_post(gateway: Gateway) -> None:
    path = "/admin/v1/replicas/llama/a/drain"
    answers = [await gateway.http.post(path), await gateway.http.get(path, headers=key(ADMIN))]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
        (403, "admin_not_allowed"),
        (405, "method_not_allowed"),
    ]
    assert answers[1].headers["allow"] == "POST"
    assert not any(state.draining for state in gateway.worker.fleet.table)


async def test_a_replica_that_still_starts_is_told_to_take_nothing_yet() -> None:
    transport = httpx.ASGITransport(app=admin_app(Administered(local=True)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.post("/admin/v1/replicas/e/1/drain")
        drained = await http.post("/admin/v1/replicas/e/0/drain")
    assert (answer.status_code, drained.status_code, drained.json()["draining"]) == (404, 200, True)
    assert answer.json()["error"]["message"] == "the replica '1' of engine 'e' takes no requests: it is starting"


# -- without keys ------------------------------------------------------------------------------------------------------


SETTINGS = """
engines: {e: {kind: simulator}}
models: {chat: {targets: [{engine: e}]}}
"""


class Administered:
    """A gateway without keys."""

    def __init__(self, local: bool) -> None:
        self.keyring = Keyring()
        self.local = local
        self.drained = False
        self.away = ""
        self.questions: list[AskRead] = []
        self.frozen: list[FreezeDrift] = []
        self.settings = load_settings(SETTINGS, {}).settings
        self.releases = Releases(None, lambda experiment, shares: None, FakeHooks(), lambda name, work: None)
        self.autoscaling = self

    def statuses(self) -> list[dict[str, object]]:
        return [{"engine": "e", "wanted": 2, "sentence": "because"}]

    def decisions(self) -> list[Decided]:
        return [Decided("2026-01-01T00:00:00Z", "e", 1, 2, "load", "because")]

    def replicas(self, named: str | None = None) -> list[list[ReplicaStatus]]:
        return [[ReplicaStatus("e", "0", "ready", self.drained)], [ReplicaStatus("e", "1", "starting")]]

    def drain_replica(self, engine: str, replica: str, draining: bool = True) -> bool:
        if replica == "0":
            self.drained = draining
        return replica == "0"

    async def explain(self, question: AskRouting) -> dict[str, Explained]:
        return {"0": Explained(problem="the worker did not answer in time")}

    @property
    def feedback(self) -> KeepsFeedback:
        return self

    def wait_s(self, key_id: str, metric: str, per_minute: int) -> float:
        return 0.0

    async def give(self, given: GiveFeedback) -> FeedbackGiven:
        return FeedbackGiven("unknown")

    async def read(self, question: AskRead | FreezeDrift) -> Read:
        if isinstance(question, FreezeDrift):
            self.frozen.append(question)
            return Read()
        self.questions.append(question)
        if self.away:
            return Read(away=self.away)
        match question.asked.get("model"):
            case "odd":
                return Read(wrong="that makes no sense")
            case "away":
                return Read(away="gone fishing")
        return Read(b'{"object":"list","data":[]}')


async def test_autoscaling_tells_each_engine_and_what_was_decided() -> None:
    transport = httpx.ASGITransport(app=admin_app(Administered(local=True)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = (await http.get("/admin/v1/autoscale")).json()
    assert answer["data"] == [{"engine": "e", "wanted": 2, "sentence": "because"}]
    assert [(one["had"], one["wanted"], one["sentence"]) for one in answer["decisions"]] == [(1, 2, "because")]


class Longlived(Administered):
    """One that has decided a thousand times, about fifty engines."""

    def statuses(self) -> list[dict[str, object]]:
        return [{"engine": f"e{number}", "load": 0.5, "failure": None} for number in range(50)]

    def decisions(self) -> list[Decided]:
        return [Decided("2026-01-01T00:00:00Z", "e", number, number + 1, "load", '"so"') for number in range(1_000)]


@pytest.mark.parametrize("away", ["", "gone fishing"])
async def test_a_thousand_decisions_and_many_engines_are_told_in_many_turns_of_the_loop(away: str) -> None:
    gateway = Longlived(local=True)
    gateway.away = away
    turns = 0
    told = asyncio.Event()

    async def turning() -> None:
        nonlocal turns
        while not told.is_set():
            turns += 1
            await asyncio.sleep(0)

    transport = httpx.ASGITransport(app=admin_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        counting = asyncio.ensure_future(turning())
        answer = await http.get("/admin/v1/autoscale", params={"since": "2025-12-31"} if away else {})
        told.set()
        await counting
    document = answer.json()
    assert [one["engine"] for one in document["data"]] == [f"e{number}" for number in range(50)]
    assert document["data"][0] == {"engine": "e0", "load": 0.5, "failure": None}
    assert [one["had"] for one in document["decisions"]] == [*range(1_000)]
    assert document["decisions"][0]["sentence"] == '"so"'
    assert document.get("store_away", "") == away
    assert turns >= 50 + 1_000 // AT_ONCE


async def test_decisions_since_a_time_are_the_stores_and_where_it_is_away_those_of_memory() -> None:
    gateway = Administered(local=True)
    transport = httpx.ASGITransport(app=admin_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        stored = (await http.get("/admin/v1/autoscale", params={"since": "2025-12-31"})).json()
        assert (stored["decisions"], stored["decisions_from"]) == ([], "store")
        assert [(one.what, one.asked) for one in gateway.questions] == [("scalings", {"since": "2025-12-31"})]
        gateway.away = "gone fishing"
        for asked, found in (
            ({"since": "2025-12-31"}, 1),
            ({"since": "2026-01-02"}, 0),
            ({"since": "2025-12-31", "until": "2026-01-01"}, 0),
            ({"since": "2025-12-31", "engine": "other"}, 0),
        ):
            told = (await http.get("/admin/v1/autoscale", params=asked)).json()
            assert (len(told["decisions"]), told["decisions_from"]) == (found, "memory")
            assert told["store_away"] == "gone fishing"
        refused = await http.get("/admin/v1/autoscale", params={"since": "yesterday"})
    assert (refused.status_code, refused.json()["error"]["message"][:24]) == (400, "'yesterday' is no time: ")


@pytest.mark.parametrize("what", ["records", "costs", "experiments/decisions"])
async def test_records_and_costs_are_what_the_store_says(what: str) -> None:
    gateway = Administered(local=True)
    transport = httpx.ASGITransport(app=admin_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        path = f"/admin/v1/{what}"
        answers = [await http.get(path, params=asked) for asked in ({}, {"model": "odd"}, {"model": "away"})]
    assert [(question.what, question.asked) for question in gateway.questions] == [
        (what.rpartition("/")[2], asked) for asked in ({}, {"model": "odd"}, {"model": "away"})
    ]
    assert (answers[0].status_code, answers[0].json()) == (200, {"object": "list", "data": []})
    assert [(answer.status_code, answer.json()["error"]["message"]) for answer in answers[1:]] == [
        (400, "that makes no sense"),
        (503, "the store cannot be read: gone fishing"),
    ]


async def test_drift_is_what_the_store_says_and_a_reference_is_frozen_by_who_asked() -> None:
    gateway = Administered(local=True)
    transport = httpx.ASGITransport(app=admin_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        told = await http.get("/admin/v1/drift")
        asked = [await http.post("/admin/v1/drift/freeze", params={"model": model}) for model in ("chat", "tchat", "")]
    assert (told.status_code, told.json()) == (200, {"object": "list", "data": []})
    assert [("drift", {})] == [(question.what, question.asked) for question in gateway.questions]
    assert [200, 404, 400] == [answer.status_code for answer in asked]
    assert [FreezeDrift("chat", "(open)")] == gateway.frozen


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:8080", "[::1]:8080", "page.example", "127.0.0.1.page.example"]
)
async def test_an_open_gateway_is_administered_under_this_machines_own_names_only(host: str) -> None:
    transport = httpx.ASGITransport(app=admin_app(Administered(local=True)))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        answer = await http.get("/admin/v1/replicas")
    assert answer.status_code == (403 if "page" in host else 200)


@pytest.mark.parametrize(("local", "status"), [(True, 200), (False, 403)])
async def test_an_open_gateway_is_administered_on_loopback_only(local: bool, status: int) -> None:
    transport = httpx.ASGITransport(app=admin_app(Administered(local)))
    with structlog.testing.capture_logs() as lines:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
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
