"""What inference requests are refused for before any engine is asked, seen from outside."""

from __future__ import annotations

import json

import pytest

from engines.model import Operation
from engines.operations import FORMS, STORED
from gateway.body import envelope
from gateway.errors import Failure
from tests.scenario.gateway import KEY, Gateway

pytestmark = pytest.mark.anyio
CHAT = Operation.CHAT.value


@pytest.mark.parametrize("operation", [operation for operation in Operation if operation not in STORED])
async def test_every_operation_refuses_in_its_own_shape_and_with_a_request_id(
    gateway: Gateway, operation: Operation
) -> None:
    response = await gateway.http.post(operation.value, content=b'{"model":', headers={"x-request-id": "mine-1"})
    assert (response.status_code, response.headers["x-request-id"]) == (400, "mine-1")
    document = response.json()
    if operation in (Operation.MESSAGES, Operation.COUNT_TOKENS):
        assert (document["type"], document["request_id"]) == ("error", "mine-1")
    else:
        assert document["error"]["code"] == ("invalid_form" if operation in FORMS else "invalid_json")
    if operation not in FORMS:
        assert "(byte 9)" in document["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "invalid_json", None),
        (b"[]", 400, "invalid_value", None),
        (b"{}", 400, "invalid_value", "model"),
        (b'{"model":1}', 400, "invalid_value", "model"),
        (b'{"model":"chat-small","stream":"yes"}', 400, "invalid_value", "stream"),
        (b'{"model":"chat-small","model":"chat-large"}', 400, "duplicate_model", "model"),
        (b'{"model":"chat-small","x":"\xff"}', 400, "invalid_json", None),
        (b'{"model":"chat-small","x":' + b"[" * 100_000, 400, "invalid_json", None),
        (b'{"model":"chat-smal"}', 404, "model_not_found", "model"),
        (b'{"model":"../../etc/passwd"}', 404, "model_not_found", "model"),
        (b'{"model":"\\u0000\\r\\nx-injected: 1"}', 404, "model_not_found", "model"),
        (json.dumps({"model": "x" * 100_000}).encode(), 404, "model_not_found", "model"),
    ],
)
async def test_a_body_is_refused_clearly(
    gateway: Gateway, body: bytes, status: int, code: str, param: str | None
) -> None:
    response = await gateway.http.post(CHAT, content=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert len(response.content) < 1000
    assert "x-injected" not in response.headers


async def test_the_nearest_names_are_those_the_key_may_use(gateway: Gateway, limited: dict[str, str]) -> None:
    for name in ("chat-larg", "chat-small2"):
        message = (await gateway.http.post(CHAT, json={"model": name}, headers=limited)).json()["error"]["message"]
        assert "chat-large" not in message.replace(repr(name), "")


async def test_a_model_the_key_may_not_use_is_told_without_saying_more(
    gateway: Gateway, limited: dict[str, str]
) -> None:
    response = await gateway.http.post(CHAT, json={"model": "chat-large"}, headers=limited)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "llama" not in response.text


async def test_a_compressed_body_is_a_415(gateway: Gateway) -> None:
    response = await gateway.http.post(CHAT, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
async def test_no_encoding_may_be_said(gateway: Gateway, coding: str) -> None:
    response = await gateway.http.post(CHAT, json={"model": "nobody"}, headers={"content-encoding": coding})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": "wrong"}])
async def test_a_missing_or_wrong_key_is_a_401_before_the_body_is_looked_at(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    del gateway.http.headers["authorization"]
    response = await gateway.http.post(CHAT, content=b"not json", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "wrong" not in response.text


async def test_a_key_that_is_not_text_is_a_401(gateway: Gateway) -> None:
    del gateway.http.headers["authorization"]
    response = await gateway.http.post(CHAT, content=b"{}", headers={b"authorization": b"Bearer \xff\xfe"})
    assert response.status_code == 401


@pytest.mark.parametrize("identity", [b"x" * 129, b"a b", b"\xe4", b'"quoted"', b""])
async def test_a_malformed_request_id_is_replaced(gateway: Gateway, identity: bytes) -> None:
    response = await gateway.http.post(CHAT, content=b"{}", headers={b"x-request-id": identity})
    assert response.headers["x-request-id"] == response.headers["x-penstock-record-id"]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "9" * 30, "\u00b2"])
async def test_a_malformed_timeout_is_a_400(gateway: Gateway, value: str) -> None:
    response = await gateway.http.post(
        CHAT,
        json={"model": "chat-small"},
        headers={b"x-request-timeout-ms": value.encode("latin-1")},
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_value")


def nested(depth: int) -> bytes:
    return b'{"model":"chat-small","stream":true,"messages":%b1%b}' % (b"[" * depth, b"]" * depth)


def deepest() -> int:
    """How deep a body may be nested before `parse` refuses it, from here."""
    low, high = 10, 200_000
    while high - low > 1:
        middle = (low + high) // 2
        try:
            envelope.parse(nested(middle))
            low = middle
        except Failure:
            high = middle
    return low


async def test_a_body_nested_as_deep_as_is_parsed_is_answered_and_leaves_nothing_in_flight(gateway: Gateway) -> None:
    seen = set()
    for depth in range(deepest() - 10, deepest() + 15):
        response = await gateway.http.post(CHAT, content=nested(depth))
        seen.add((response.status_code, response.json()["error"]["code"]))
        assert gateway.in_flight() == {}
    assert (400, "invalid_json") in seen
    assert {status for status, _ in seen} <= {400, 502, 503}
    assert KEY not in str(seen)
