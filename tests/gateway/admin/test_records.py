"""Records and costs over HTTP: what the commands show, for keys with the admin right, and never a prompt."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.store.chaos import BODY, COST_NANOUSD, Gateway, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

COUNT = 5
KEYS = [
    {"id": "app", "sha256": hashlib.sha256(b"sk-app").hexdigest(), "tenant": "shop"},
    {"id": "ops", "sha256": hashlib.sha256(b"sk-ops").hexdigest(), "admin": True},
]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "content-type": "application/json"}


@pytest.fixture
async def http(anyio_backend: object, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway of two workers that has answered some requests, and has their records."""
    gateway = Gateway(tmp_path, workers=2)
    target = {"targets": [{"engine": "e", "model": "up"}], "records": {"content": True}}
    gateway.changes = {"auth": {"keys": KEYS}, "models": {"m": target}, "feedback": {"metrics": {"good": {}}}}
    async with running(gateway):
        transport = httpx.AsyncHTTPTransport(uds=str(gateway.uds))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
            for _ in range(COUNT):
                assert (await client.post("/v1/chat/completions", content=BODY, headers=bearer("sk-app"))).is_success
            async with asyncio.timeout(30):
                while len((await get(client, "/admin/v1/records"))[1]["data"]) < COUNT:
                    await asyncio.sleep(0.02)
            yield client


async def get(client: httpx.AsyncClient, path: str, key: str = "sk-ops") -> tuple[int, dict[str, Any]]:
    answer = await client.get(path, headers=bearer(key))
    document: dict[str, Any] = answer.json()
    return answer.status_code, document


async def test_what_is_asked_is_answered_to_those_who_may(http: httpx.AsyncClient) -> None:
    status, records = await get(http, "/admin/v1/records?key=app&limit=3")
    assert (status, records["object"], len(records["data"])) == (200, "list", 3)
    assert {(one["tenant"], one["status"], one["model"]) for one in records["data"]} == {("shop", 200, "m")}
    assert "prompt" not in records["data"][0]
    one = records["data"][0]["record_id"]
    _, found = await get(http, f"/admin/v1/records?record_id={one}")
    assert [record["record_id"] for record in found["data"]] == [one]

    status, costs = await get(http, "/admin/v1/costs?by=key,day")
    assert (status, costs["gpu"]) == (200, [])
    assert [(row["key"], row["requests"], round(row["cost_usd"] * 1e9)) for row in costs["data"]] == [
        ("app", COUNT, COUNT * COST_NANOUSD)
    ]

    for path, code in (
        ("/admin/v1/records?nonsense=1", "invalid_value"),
        ("/admin/v1/records?limit=0", "invalid_value"),
        ("/admin/v1/costs?by=weather", "invalid_value"),
        ("/admin/v1/costs?by=model&by=tenant", "invalid_value"),
        ("/admin/v1/records?status=1000", "invalid_value"),
        ("/admin/v1/records?content=true", "invalid_value"),
    ):
        status, told = await get(http, path)
        assert (status, told["error"]["code"]) == (400, code)
    for path in ("/admin/v1/records", "/admin/v1/costs"):
        status, told = await get(http, path, "sk-app")
        assert (status, told["error"]["code"]) == (403, "admin_not_allowed")
        assert (await get(http, path, "sk-nobody"))[0] == 401
    # Feedback, too, comes through a worker.
    given = {"record_id": one, "metric": "good", "value": False, "comment": "no", "idempotency_key": "k"}
    for repeated in (False, True):
        answer = await http.post("/v1/feedback", json=given, headers=bearer("sk-app"))
        assert (200, one, repeated) == (answer.status_code, answer.json()["record_id"], answer.json()["repeated"])
    theirs = await http.post("/v1/feedback", json=given, headers=bearer("sk-ops"))  # of another tenant
    assert (404, "request_not_found") == (theirs.status_code, theirs.json()["error"]["code"])
    # Drift is of whole hours: this one's is judged when it is over.
    assert (200, {"object": "drift.report", "through": None, "data": []}) == await get(http, "/admin/v1/drift")
    frozen = await http.post("/admin/v1/drift/freeze?model=m", headers=bearer("sk-ops"))
    assert (200, {"object": "drift.freeze", "model": "m"}) == (frozen.status_code, frozen.json())
    assert 403 == (await http.post("/admin/v1/drift/freeze?model=m", headers=bearer("sk-app"))).status_code
