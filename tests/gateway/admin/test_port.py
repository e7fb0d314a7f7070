"""The admin port: what it serves, that clients' port serves it no more, and its certificate."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import structlog
from typer.testing import CliRunner

from gateway.admin.port import admin_port
from gateway.cli.app import app
from gateway.http.listen import CannotListen
from tests.gateway.admin.test_admin import ADMIN, CONFIG, key
from tests.scenario.gateway import AUTH, KEY, Gateway, running_gateway
from tests.scenario.test_certificate import Pair

pytestmark = pytest.mark.anyio

WATCHER = "sk-of-prometheus"
KEYS = [
    *AUTH["keys"],
    {"id": "ops", "sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "admin": True},
    {"id": "watcher", "sha256": hashlib.sha256(WATCHER.encode()).hexdigest(), "metrics": True},
]


@asynccontextmanager
async def started(**sections: Any) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    """A gateway with an admin port, and a client of that port without a key."""
    with structlog.testing.capture_logs():
        async with running_gateway({**CONFIG, "auth": {"keys": KEYS}, **sections}) as gateway:
            assert gateway.admin is not None
            url = f"http://127.0.0.1:{gateway.admin.port}"
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
                yield gateway, http


async def test_it_serves_what_clients_port_serves_no_more() -> None:
    async with started(admin={"listen": "0.0.0.0:0"}, server={"metrics": "off"}) as (gateway, http):
        there = [await http.get(path, headers=key(ADMIN)) for path in ("/admin/v1/replicas", "/metrics", "/health")]
        assert [answer.status_code for answer in there] == [200, 200, 200]
        assert "penstock_replicas{" in there[1].text
        assert len(there[0].headers["x-request-id"]) == 32
        here = [await gateway.http.get(path, headers=key(ADMIN)) for path in ("/admin/v1/replicas", "/metrics")]
        assert [answer.status_code for answer in here] == [404, 404]
        assert "metrics" not in (await gateway.http.get("/")).json()
        # What applications tell of answers stays where applications ask.
        assert (await gateway.http.post("/v1/feedback", json={})).json()["error"]["code"] == "invalid_value"


async def test_its_front_says_what_it_serves_and_what_each_needs() -> None:
    async with started(admin={"listen": "0.0.0.0:0"}) as (_, http):
        assert (await http.get("/")).status_code == 401
        told = [(await http.get(path, headers=key(ADMIN))).json() for path in ("/", "/admin/v1")]
    assert told[0] == told[1]
    needs = {row["path"]: row["needs"] for row in told[0]["data"]}
    assert needs["/admin/v1/replicas"] == "a key with `admin: true`"
    assert needs["/metrics"] == "a key with `metrics: true` or `admin: true`; on 127.0.0.1 none"
    assert needs["/internal/v1/load"].startswith("peers.key")
    assert needs["/health"] == "no key"


async def test_commands_that_ask_at_the_port_of_clients_are_told_which_one_to_ask() -> None:
    async with started(admin={"listen": "0.0.0.0:0"}) as (gateway, http):
        words = ["rollout", "list", "--key", ADMIN, "--url"]
        wrong, right = [
            await asyncio.to_thread(CliRunner().invoke, app, [*words, url]) for url in (gateway.url, str(http.base_url))
        ]
    assert (wrong.exit_code, "it does not serve /admin here" in wrong.output, "--url of that" in wrong.output) == (
        1,
        True,
        True,
    )
    assert (right.exit_code, right.output) == (0, f"no model of {http.base_url} has an `experiment`\n")


async def test_inference_is_not_served_there_and_a_stranger_s_body_is_not_read() -> None:
    async with started(admin={"listen": "0.0.0.0:0"}) as (_, http):
        missing = await http.post("/v1/chat/completions", headers=key(ADMIN), json={})
        assert (missing.status_code, missing.json()["error"]["message"]) == (
            404,
            "there is nothing at '/v1/chat/completions'; it is served at the port of clients (`server.port`)",
        )
        refused = await http.post("/v1/chat/completions", headers=key(KEY), json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "admin_not_allowed")
        large = await http.post("/admin/v1/replicas", headers=key(ADMIN), content=b"x" * (1024 * 1024 + 1))
        assert large.status_code == 413


async def test_on_this_machine_figures_need_no_key() -> None:
    async with started(admin={"listen": "127.0.0.1:0"}) as (_, http):
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get("/admin/v1/replicas")).status_code == 401
        assert (await http.get("/metrics", headers={"host": "evil.example.com"})).status_code == 403


async def test_without_keys_this_machine_administers() -> None:
    async with started(auth={"keys": []}, admin={"listen": "127.0.0.1:0"}) as (_, http):
        assert (await http.get("/admin/v1/replicas")).status_code == 200
        (row, *_) = (await http.get("/admin/v1")).json()["data"]
        assert (row["path"], row["needs"]) == ("/admin/v1", "no key: there are none, and only this machine can ask")


async def test_metrics_on_the_port_of_clients_may_need_a_key() -> None:
    async with started(admin={"listen": "127.0.0.1:0"}, server={"metrics": "key"}) as (gateway, _):
        statuses = {
            name: (await gateway.http.get("/metrics", headers=headers)).status_code
            for name, headers in {
                "none": {"authorization": ""},
                "an application's": key(KEY),
                "a watcher's": key(WATCHER),
                "an admin's": key(ADMIN),
            }.items()
        }
        assert statuses == {"none": 401, "an application's": 403, "a watcher's": 200, "an admin's": 200}


async def test_over_tls_it_shows_a_certificate_that_may_be_rotated(tmp_path: pathlib.Path) -> None:
    pair = Pair(tmp_path)
    trusts = [pair.rotate()]
    async with started(admin={"listen": "127.0.0.1:0", "tls": pair.section["tls"]}) as (gateway, _):
        assert gateway.admin is not None
        trusts.append(pair.rotate())
        seen = []
        for _ in range(2):
            for trust in trusts:
                async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
                    try:
                        answer = await http.get(f"https://127.0.0.1:{gateway.admin.port}/health")
                        seen.append(answer.status_code)
                    except httpx.ConnectError:
                        seen.append(0)
            await gateway.admin.certificates.look()
        assert seen == [200, 0, 0, 200]


async def test_an_address_that_is_taken_is_told_by_the_key_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        async with started(admin={"listen": "127.0.0.1:0"}) as (gateway, _):
            settings = gateway.plane.settings
            object.__setattr__(settings.admin, "listen", where)
            with pytest.raises(CannotListen, match=rf"cannot listen on {where}: .* choose another with admin.listen"):
                admin_port(gateway.plane, gateway.plane._supervisor)
