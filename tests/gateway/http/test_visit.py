"""Who comes in, by key, Host and Origin: nobody whom a web page could have sent, and no stranger's body."""

from __future__ import annotations

import hashlib
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Failure
from gateway.http.request import Client as Asker
from gateway.http.request import Request
from gateway.http.visit import admit, check_open, is_foreign, is_loopback
from gateway.identity import ANONYMOUS, Keyring, Principal
from tests.gateway.http.asked import CHAT
from tests.gateway.http.door import Client, request

KEY = b"sk-of-an-app"
APP = Principal("app", "tenant")
KEYED = Keyring([(hashlib.sha256(KEY).hexdigest(), APP)])


def visit(
    keyring: Keyring, path: bytes, fields: dict[bytes, bytes], *, length: int = 0, over_unix: bool = False
) -> str | Principal | None:
    """Whom the request turned out to be from, or the kind of failure."""
    asked = Request(cast("Asker", None), b"POST", "1.1", path, b"", list(fields.items()), fields, b"", True)
    try:
        admit(asked, keyring, length=length, over_unix=over_unix)
    except Failure as failure:
        return failure.kind
    return asked.principal


OPERATION = b"/v1/chat/completions"
LOCAL = [b"localhost", b"LOCALHOST:8080", b"localhost.", b"127.0.0.1", b"127.8.9.10:80", b"[::1]", b"[::1]:8080"]
NOT_LOCAL = [
    b"",
    b"a",
    b"evil.example",
    b"localhost.evil.example",
    b"127.0.0.1.evil.example",
    b"10.0.0.1",
    b"0.0.0.0",
    b"[::]",
    b"[::2]:80",
    b"127.1",
    b"2130706433",
]


@pytest.mark.parametrize("host", LOCAL)
def test_loopback_names_are_served_without_keys(host: bytes) -> None:
    assert is_loopback(host)
    assert visit(Keyring(), OPERATION, {b"host": host}, length=9) is ANONYMOUS


@pytest.mark.parametrize("path", [OPERATION, b"/v1/models", b"/metrics", b"/"])
@pytest.mark.parametrize("host", NOT_LOCAL)
def test_without_keys_any_other_host_is_a_403_on_every_path(host: bytes, path: bytes) -> None:
    assert not is_loopback(host)
    assert visit(Keyring(), path, {b"host": host}) == "foreign_host"
    assert visit(Keyring(any_host=True), path, {b"host": host}) is ANONYMOUS
    assert visit(Keyring(), path, {b"host": host}, over_unix=True) is ANONYMOUS


@pytest.mark.parametrize(
    "origin", [b"https://evil.example", b"null", b"http://localhost.evil.example", b"file://", b""]
)
@pytest.mark.parametrize("keyring", [Keyring(), Keyring(any_host=True)], ids=["loopback", "open"])
def test_without_keys_no_page_of_another_origin_is_served(keyring: Keyring, origin: bytes) -> None:
    assert visit(keyring, OPERATION, {b"host": b"localhost:8080", b"origin": origin}) == "foreign_origin"
    assert (
        visit(keyring, OPERATION, {b"host": b"localhost:8080", b"origin": origin}, over_unix=True) == "foreign_origin"
    )


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"http://localhost:8080", b"localhost:8080"),
        (b"http://localhost:3000", b"127.0.0.1:8080"),
        (b"https://Console.example", b"console.example"),
    ],
)
def test_our_own_pages_and_those_of_this_machine_are_not_foreign(origin: bytes, host: bytes) -> None:
    assert not is_foreign(origin, host)


@pytest.mark.parametrize("path", [b"/health", b"/ready"])
def test_probes_take_any_host(path: bytes) -> None:
    fields = {b"host": b"10.1.2.3:8080", b"origin": b"http://evil.example"}
    assert visit(Keyring(), path, fields) is ANONYMOUS


def test_what_is_refused_says_what_to_do() -> None:
    for fields in ({b"host": b"evil.example"}, {b"host": b"localhost", b"origin": b"http://evil.example"}):
        with pytest.raises(Failure, match=r"evil\.example.*configure auth\.keys"):
            check_open(fields, any_host=False)


@settings(deadline=None)
@given(host=st.binary(max_size=30), origin=st.none() | st.binary(max_size=30))
def test_no_bytes_make_it_raise_anything_else(host: bytes, origin: bytes | None) -> None:
    fields = {b"host": host} | ({b"origin": origin} if origin is not None else {})
    assert visit(Keyring(), OPERATION, fields) in ("foreign_host", "foreign_origin", ANONYMOUS)


def test_with_keys_host_and_origin_are_nobodys_business() -> None:
    fields = {b"host": b"evil.example", b"origin": b"http://evil.example", b"x-api-key": KEY}
    assert visit(KEYED, OPERATION, fields) is APP


@pytest.mark.parametrize(
    ("path", "length", "told"),
    [
        (OPERATION, 0, "invalid_api_key"),
        (OPERATION, 5, "invalid_api_key"),
        (b"/v1/models", 5, "invalid_api_key"),
        (b"/health", -1, "invalid_api_key"),
        (b"/health", 0, None),
        (b"/v1/models", 0, None),
    ],
)
def test_with_keys_a_stranger_asks_for_no_inference_and_sends_no_body(path: bytes, length: int, told: str) -> None:
    assert visit(KEYED, path, {b"host": b"a"}, length=length) == told
    assert visit(KEYED, path, {b"host": b"a", b"x-api-key": KEY}, length=length) is (APP if told else None)


# -- at the door -------------------------------------------------------------------------------------------------------

STRANGER = CHAT + b"x-api-key: stranger\r\n"


@pytest.mark.parametrize("framing", [b"content-length: 60000", b"transfer-encoding: chunked"])
def test_a_stranger_is_told_before_its_body_comes_and_before_it_is_told_to_go_on(framing: bytes) -> None:
    client = Client().send(STRANGER + framing + b"\r\nexpect: 100-continue\r\n\r\n")
    (answer,) = client.answers
    assert (answer.status, answer.error["code"], answer.headers["connection"]) == (401, "invalid_api_key", "close")
    client.send(b"x" * 60_000)
    assert client.connection._reader.body_bytes == 0
    assert client.desk.seen == []


def test_a_stranger_behind_a_request_in_progress_waits_for_its_answer() -> None:
    client = Client().send(request(body=b"1") + STRANGER + b"content-length: 5\r\n\r\nhello" + request(body=b"2"))
    assert [answer.status for answer in client.answers] == [200, 401]
    assert [seen.body for seen in client.desk.seen] == [b"1"]


def test_each_head_is_shown_once_with_the_length_of_its_body() -> None:
    chunked = CHAT + b"transfer-encoding: chunked\r\n\r\n"
    client = Client().send(request(body=b"12345")[:-2], b"45", chunked, b"1\r\nx\r\n0\r\n\r\n", request(b"/health"))
    assert client.desk.heads == [(OPERATION, 5), (OPERATION, -1), (b"/health", 0)]


def test_a_stranger_to_messages_is_told_in_its_shape() -> None:
    client = Client().send(request(b"/v1/messages", body=b"{}", fields=b"x-api-key: stranger\r\n"))
    (answer,) = client.answers
    assert b'"type":"error"' in answer.body.replace(b" ", b"")
    assert b"authentication_error" in answer.body
