"""Access tokens, from real HTTP answers: the client credentials grant, and Google's library with a key made here."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.kinds.azure import AzureEngine
from engines.kinds.gemini import GeminiEngine
from engines.pools import Trust
from engines.providers.tokens import (
    ENTRA_SCOPE,
    MOST_BYTES,
    ClientCredentials,
    GoogleCredentials,
    Token,
    TokenRefused,
    TokenSource,
    Way,
    _GoogleRequest,
    token_of,
)
from tests.engines.providers.token_server import token_server, tunnels

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
        entra("http://127.0.0.1:9", client_secret=SECRET, way=trusting(ca_file="/nowhere/at/all")).fetch()
    with pytest.raises(TokenRefused, match="the file of the client certificate cannot be read"):
        entra("http://127.0.0.1:9", client_secret=SECRET, way=trusting(client_cert="/nowhere/at/all")).fetch()
    with pytest.raises(TokenRefused, match="cannot be read: no such file"):
        entra(server.url, assertion_file="/nowhere/at/all").fetch()


@pytest.mark.parametrize("option", ["assertion_file", "ca_file", "client_cert", "client_key"])
def test_a_file_that_becomes_a_pipe_holds_no_thread(tmp_path: Path, option: str) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    (tmp_path / "cert.pem").write_text("")
    given: dict[str, Any] = {"assertion_file": pipe}
    if option != "assertion_file":
        way = trusting(**{"client_cert": str(tmp_path / "cert.pem"), option: pipe})
        given = {"client_secret": SECRET, "way": way}
    with pytest.raises(TokenRefused, match="cannot be read"):
        entra("http://127.0.0.1:9", **given).fetch()


def trusting(**files: str) -> Way:
    return Way(trust=Trust(**files))  # type: ignore[arg-type]


class Inspected:
    """A server of tokens behind an authority of its own, which wants to see a certificate of that; and its files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(self.tls)
        authority.issue_cert("127.0.0.1").configure_cert(self.tls)
        self.ca, self.cert = folder / "ca.pem", folder / "cert.pem"
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert("gateway").private_key_and_cert_chain_pem.write_to_path(self.cert)
        self.trust = Trust(ca_file=str(self.ca), client_cert=str(self.cert))


TOKEN = (200, {"access_token": "t-1", "expires_in": 3599})


@pytest.mark.parametrize("google", [False, True])
def test_a_token_is_fetched_the_way_that_its_engine_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, google: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody is there
    there = Inspected(tmp_path)
    to: list[str] = []
    with token_server(TOKEN, tls=there.tls) as server, tunnels(to) as proxy:
        way = Way(proxy, there.trust)
        source: TokenSource = entra(server.url, client_secret=SECRET, way=way)
        if google:
            source = GoogleCredentials(service_account(tmp_path / "key.json", server.url), way)
        assert source.fetch().value == "t-1"
        assert to == [server.url.removeprefix("https://")]


def test_direct_passes_the_proxy_of_the_environment_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    there = Inspected(tmp_path)
    with token_server(TOKEN, tls=there.tls) as server:
        source = entra(server.url, client_secret=SECRET, way=Way("direct", there.trust))
        assert source.fetch().value == "t-1"
        with pytest.raises(TokenRefused, match="ConnectError"):
            entra(server.url, client_secret=SECRET, way=Way(None, there.trust)).fetch()


def test_a_secret_is_sent_to_nobody_whose_certificate_is_not_believed(tmp_path: Path) -> None:
    there = Inspected(tmp_path)
    with token_server(TOKEN, tls=there.tls) as server:
        for trust in (Trust(), Trust(verify=False)):
            with pytest.raises(TokenRefused, match="ConnectError"):
                entra(server.url, client_secret=SECRET, way=Way(trust=trust)).fetch()
        assert server.forms == []


def test_a_proxys_password_is_in_no_repr() -> None:
    assert "pass-word" not in repr(Way("http://user:pass-word@proxy.test:8080"))


def test_engines_hand_their_own_way_to_where_their_tokens_come_from() -> None:
    ways = {"proxy": "http://proxy.test:8080", "ca_file": "/ca.pem", "client_cert": "/cert.pem"}
    entra = {"tenant": "t", "client_id": "c", "client_secret": "s"}
    azure = AzureEngine.model_validate({"kind": "azure", "base_url": "https://a.test", "entra": entra, **ways})
    gemini = GeminiEngine.model_validate({"kind": "gemini", "vertex": {"project": "p"}, **ways})
    trust = Trust(ca_file="/ca.pem", client_cert="/cert.pem")
    for source in (azure.token_source, gemini.token_source):
        assert isinstance(source, ClientCredentials | GoogleCredentials)
        assert source.way == Way("http://proxy.test:8080", trust)


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


@pytest.mark.parametrize(
    ("url", "nearby"),
    [
        ("http://metadata.google.internal/computeMetadata/v1/", True),
        ("http://169.254.169.254/computeMetadata/v1/", True),
        ("https://iamcredentials.googleapis.com/v1/serviceAccounts/metadata-reader@p:generateAccessToken", False),
    ],
)
def test_the_machines_own_server_is_known_by_its_host(url: str, nearby: bool) -> None:
    asked: list[bool] = []

    class Asked(Way):
        def client(self, timeout_s: float, *, nearby: bool = False) -> httpx.Client:
            asked.append(nearby)
            return httpx.Client(transport=httpx.MockTransport(lambda _request: httpx.Response(200, json={})))

    _GoogleRequest(Asked())(url)
    assert asked == [nearby]
