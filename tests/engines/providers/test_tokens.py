"""Access tokens, from real HTTP answers: the client credentials grant, and Google's library with a key made here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.providers.tokens import (
    ENTRA_SCOPE,
    MOST_BYTES,
    ClientCredentials,
    GoogleCredentials,
    Token,
    TokenRefused,
    token_of,
)
from tests.engines.providers.token_server import token_server

SECRET = "the-secret-of-the-application"


def entra(url: str, **keys: Any) -> ClientCredentials:
    return ClientCredentials(f"{url}/tenant/oauth2/v2.0/token", "the-app", ENTRA_SCOPE, **keys)


def test_a_secret_is_exchanged_for_a_token() -> None:
    with token_server((200, {"access_token": "t-1", "token_type": "Bearer", "expires_in": 3599})) as server:
        assert entra(server.url, client_secret=SECRET).fetch() == Token("t-1", 3599.0)
    assert server.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "the-app",
            "client_secret": SECRET,
            "scope": "https://cognitiveservices.azure.com/.default",
        }
    ]


def test_an_assertion_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with token_server((200, {"access_token": "t", "expires_in": "600"})) as server:
        source = entra(server.url, assertion_file=str(file))
        for text in ("first.assertion", "second.assertion\n"):
            file.write_text(text)
            assert source.fetch().lasts_s == 600.0
    kinds = {form["client_assertion_type"] for form in server.forms}
    assert kinds == {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
    assert [form["client_assertion"] for form in server.forms] == ["first.assertion", "second.assertion"]
    assert all("client_secret" not in form for form in server.forms)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((401, {"error": "invalid_client", "error_description": SECRET}), "answered 401 (invalid_client)"),
        ((400, {"error": f"{SECRET} is wrong"}), "answered 400 (no code)"),
        ((500, b"<html>"), "answered 500 (no code)"),
        ((200, b"[]"), "the answer is no JSON object"),
        ((200, b"[" * 100_000), "the answer is too large"),
        ((200, b"[" * 10_000), "the answer is no JSON object"),
        ((200, {"access_token": ""}), "the answer holds no access_token"),
        ((200, {"access_token": "a\r\nx-evil: 1"}), "characters that no header may have"),
    ],
)
def test_a_refusal_says_why_and_never_the_credential(answer: tuple[int, Any], says: str) -> None:
    with token_server(answer) as server, pytest.raises(TokenRefused) as raised:
        entra(server.url, client_secret=SECRET).fetch()
    assert says in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_server_that_is_away_and_a_file_that_is_not_there() -> None:
    with token_server((200, {})) as server:
        pass
    with pytest.raises(TokenRefused, match="ConnectError while asking"):
        entra(server.url, client_secret=SECRET).fetch()
    with pytest.raises(TokenRefused, match="the file of the authority cannot be read"):
        entra("http://127.0.0.1:9", client_secret=SECRET, ca_file="/nowhere/at/all").fetch()
    with pytest.raises(TokenRefused, match="cannot be read: no such file"):
        entra(server.url, assertion_file="/nowhere/at/all").fetch()


@pytest.mark.parametrize("option", ["assertion_file", "ca_file"])
def test_a_file_that_becomes_a_pipe_holds_no_thread(tmp_path: Path, option: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    given = {"client_secret": SECRET} if option == "ca_file" else {}
    with pytest.raises(TokenRefused, match="cannot be read"):
        entra("http://127.0.0.1:9", **given, **{option: str(tmp_path / "pipe")}).fetch()


def test_no_credential_is_in_a_repr() -> None:
    assert SECRET not in repr(entra("http://x", client_secret=SECRET))
    assert "t-1" not in repr(Token("t-1", 1.0))


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_whatever_a_server_says_of_its_life_a_token_has_one_within_a_year(lasts: Any) -> None:
    token = token_of({"access_token": "t", "expires_in": lasts})
    assert 0.0 < token.lasts_s <= 31_536_000.0


@settings(deadline=None)
@given(st.text(max_size=50) | st.just("x" * (MOST_BYTES + 1)))
def test_what_is_taken_for_a_token_fits_into_a_header_line(text: str) -> None:
    try:
        token = token_of({"access_token": text})
    except TokenRefused:
        return
    assert token.value == text
    assert all(0x20 < ord(letter) < 0x7F for letter in text)


def service_account(path: Path, url: str) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "p",
                "private_key_id": "1",
                "private_key": pem,
                "client_email": "gateway@p.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{url}/token",
            }
        )
    )
    return str(path)


def test_a_service_account_of_googles_signs_for_its_token(tmp_path: Path) -> None:
    with token_server((200, {"access_token": "ya29.x", "expires_in": 3600, "token_type": "Bearer"})) as server:
        token = GoogleCredentials(service_account(tmp_path / "key.json", server.url)).fetch()
    assert token.value == "ya29.x"
    assert 3500 < token.lasts_s <= 3600
    assert server.forms[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert server.forms[0]["assertion"].count(".") == 2


def test_what_googles_library_refuses_is_said(tmp_path: Path) -> None:
    with token_server((400, {"error": "invalid_grant"})) as server, pytest.raises(TokenRefused, match="RefreshError"):
        GoogleCredentials(service_account(tmp_path / "key.json", server.url)).fetch()
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(TokenRefused, match="Google's library says"):
        GoogleCredentials(str(tmp_path / "bad.json")).fetch()
    with pytest.raises(TokenRefused, match="no such file"):
        GoogleCredentials(str(tmp_path / "not-there.json")).fetch()
