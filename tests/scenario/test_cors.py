"""Apps in browsers: pages of the configured origins ask and read, others do not, and asking first costs no key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.http.cors import Cors
from gateway.settings import ConfigError, load_settings
from tests.scenario.gateway import HELLO, one_model, running_gateway
from tests.scenario.upstream import plain, running_upstream

pytestmark = pytest.mark.anyio
APP = "https://app.example.com"
CORS = {"server": {"port": 0, "cors": {"origins": [APP]}}}
NO_KEY = {"authorization": ""}
PREFLIGHT = {
    **NO_KEY,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}
ANSWER: dict[str, Any] = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": {}}


def allowed(answer: httpx.Response) -> object:
    return answer.headers.get("access-control-allow-origin")


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/models", "/v1/models/chat", "/openai/deployments/chat/chat/completions"]
)
async def test_a_browser_may_ask_first_without_a_key_and_it_is_no_request(path: str) -> None:
    async with running_upstream(plain(ANSWER)) as upstream, running_gateway(one_model(upstream.url, **CORS)) as gateway:
        answer = await gateway.http.options(path, headers={**PREFLIGHT, "origin": APP})
        assert (answer.status_code, allowed(answer)) == (204, APP)
        assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
        assert "POST" in answer.headers["access-control-allow-methods"]
        other = await gateway.http.options(path, headers={**PREFLIGHT, "origin": "https://evil.example"})
        assert (other.status_code, allowed(other)) == (204, None)
        assert "access-control-allow-headers" not in other.headers
        assert (gateway.records.all, (await gateway.metrics()).value("penstock_requests_total")) == ([], 0)


async def test_answers_streams_and_errors_can_be_read_by_the_page_that_may() -> None:
    async with running_upstream(plain(ANSWER)) as upstream, running_gateway(one_model(upstream.url, **CORS)) as gateway:
        for origin, shown in ((APP, APP), ("https://evil.example", None)):
            headers = {"origin": origin}
            body = {"model": "chat", "messages": HELLO}
            answers = [
                await gateway.http.post("/v1/chat/completions", json=body, headers=headers),
                await gateway.http.post("/v1/chat/completions", json=body, headers=headers),  # a head that is known
                await gateway.http.post("/v1/chat/completions", json={"model": "nope"}, headers=headers),
                await gateway.http.get("/v1/models", headers=headers),
                await gateway.http.post("/v1/chat/completions", json=body, headers={**headers, **NO_KEY}),
            ]
            assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 401]
            assert [allowed(answer) for answer in answers] == [shown] * 5
            assert all(
                ("x-request-id" in a.headers.get("access-control-expose-headers", "")) == bool(shown) for a in answers
            )


@pytest.mark.parametrize("cors", [{}, CORS], ids=["no origins", "another's"])
async def test_without_keys_asking_first_is_no_request_either_and_lets_no_page_in(cors: dict[str, Any]) -> None:
    async with running_gateway(one_model("http://127.0.0.1:9", auth={}, **cors)) as gateway:
        asked = {**PREFLIGHT, "origin": "https://evil.example"}
        for path in ("/v1/chat/completions", "/v1/models", "/admin/v1/replicas"):
            answer = await gateway.http.options(path, headers=asked)
            assert (204, True) == (answer.status_code, unread(answer)), path
        assert ([], 0) == (gateway.records.all, (await gateway.metrics()).value("penstock_requests_total"))
        foreign = await gateway.http.options("/v1/models", headers={**asked, "host": "evil.example"})
        assert (403, "foreign_host") == (foreign.status_code, foreign.json()["error"]["code"])


async def test_a_page_reads_that_its_body_is_too_large() -> None:
    async with running_gateway(one_model("http://127.0.0.1:9", limits={"body_bytes": 1024}, **CORS)) as gateway:
        said = {}
        for origin in (APP, "https://evil.example"):
            said[origin] = await gateway.http.post(
                "/v1/chat/completions",
                content=b" " * 1025,
                headers={"origin": origin, "x-request-id": "of-the-page"},
            )
    assert [(answer.status_code, allowed(answer)) for answer in said.values()] == [(413, APP), (413, None)]
    assert said[APP].headers["x-request-id"] == "of-the-page"
    assert len(said[APP].headers.get_list("access-control-allow-origin")) == 1


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://App.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_an_origin_is_one_that_clients_send(written: str, sent: str) -> None:
    text = FILE.format(origins=f'["{written}"]', auth="")
    cors = Cors(load_settings(text, {}).settings.server.cors.origins)
    assert cors.allows(sent.encode())
    for other in (f"{sent}:444", sent.replace("://", "://x"), f"{sent}/", "null", ""):
        assert not cors.allows(other.encode())


WRONG = [
    ("/chat/completions", "lacks /v1"),
    ("/v1/v1/chat/completions", "has /v1 twice"),
    ("/v1/v1/messages", "which Anthropic's clients add"),
    ("/v1/messages/v1/messages", "holds the path of a request"),
]


@pytest.mark.parametrize("keys", [True, False])
@pytest.mark.parametrize(("path", "said"), WRONG)
async def test_a_page_of_a_configured_origin_reads_that_its_base_url_is_wrong(path: str, said: str, keys: bool) -> None:
    config = one_model("http://127.0.0.1:9", **({} if keys else {"auth": {}}), **CORS)
    async with running_gateway(config) as gateway:
        first = await gateway.http.options(path, headers={**PREFLIGHT, "origin": APP})
        answer = await gateway.http.post(path, json={}, headers={"origin": APP})
        other = await gateway.http.post(path, json={}, headers={"origin": "https://evil.example"})
    assert (204, APP, 404, APP) == (first.status_code, allowed(first), answer.status_code, allowed(answer))
    assert said in answer.json()["error"]["message"]
    assert unread(other)


async def test_a_page_of_a_configured_origin_is_told_what_its_origin_opens() -> None:
    async with running_gateway(one_model("http://127.0.0.1:9", auth={}, **CORS)) as gateway:
        answer = await gateway.http.get("/metrics", headers={**NO_KEY, "origin": APP})
    assert (403, True) == (answer.status_code, unread(answer))
    assert "may not ask for this path; server.cors.origins opens inference" in answer.json()["error"]["message"]


async def test_without_origins_no_page_is_let_in() -> None:
    async with running_upstream(plain(ANSWER)) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        answer = await gateway.http.options("/v1/chat/completions", headers={**PREFLIGHT, "origin": APP})
        assert (answer.status_code, allowed(answer), answer.headers["allow"]) == (
            204,
            None,
            "GET, HEAD, POST, DELETE, OPTIONS",
        )


async def test_an_open_gateway_serves_the_named_origin_and_no_other() -> None:
    config = one_model("http://127.0.0.1:9", auth={}, **CORS)
    async with running_gateway(config) as gateway:
        good = await gateway.http.get("/v1/models", headers={**NO_KEY, "origin": APP})
        bad = await gateway.http.get("/v1/models", headers={**NO_KEY, "origin": "https://evil.example"})
    assert (good.status_code, allowed(good)) == (200, APP)
    assert (bad.status_code, bad.json()["error"]["code"]) == (403, "foreign_origin")


OURS_ALONE = [
    "/admin/v1/records",
    "/%61dmin/v1/records",
    "/admin/v1/chat/completions",
    "/admin/v1/replicas/v1/messages/v1/messages/drain",
    "/%61dmin/v1/replicas/v1/messages/v1/messages/drain",
    "/v1/feedback/chat/completions/embeddings",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/v1/feedback",
    "/nowhere",
    "/",
]
"""What operates the gateway, or is nothing."""


def unread(answer: httpx.Response) -> bool:
    return not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("auth", [{}, {"open": True}], ids=["loopback", "open"])
async def test_without_keys_no_page_may_ask_for_what_operates_the_gateway(auth: dict[str, bool]) -> None:
    headers = {**NO_KEY, "origin": APP}
    async with running_gateway(one_model("http://127.0.0.1:9", auth=auth, **CORS)) as gateway:
        for path in OURS_ALONE:
            assert unread(await gateway.http.options(path, headers={**PREFLIGHT, "origin": APP})), path
            for answer in (
                await gateway.http.get(path, headers=headers),
                await gateway.http.post(path, headers=headers, content=b"{}"),
            ):
                assert (path, answer.status_code, answer.json()["error"]["code"]) == (path, 403, "foreign_origin")
                assert unread(answer)
        assert (await gateway.http.get("/v1/models", headers=headers)).status_code == 200


async def test_with_keys_no_page_reads_what_operates_the_gateway() -> None:
    async with running_gateway(one_model("http://127.0.0.1:9", **CORS)) as gateway:
        for path in OURS_ALONE:
            assert unread(await gateway.http.options(path, headers={**PREFLIGHT, "origin": APP})), path
            assert unread(await gateway.http.get(path, headers={"origin": APP})), path


FILE = (
    "server: {{cors: {{origins: {origins}}}}}\n{auth}"
    "engines: {{s: {{kind: simulator}}}}\nmodels: {{m: {{targets: [{{engine: s}}]}}}}"
)


@pytest.mark.parametrize(
    ("origins", "auth", "said"),
    [
        ('["app.example.com"]', "", "should be an origin"),
        ('["https://a.example/path"]', "", "should be an origin"),
        ('["*"]', "", "lets any page"),
        ('["*"]', "auth: {open: true}\n", "name the origins, or add auth.keys"),
        ('["*"]', f'auth: {{keys: [{{id: a, sha256: "{"a" * 64}"}}]}}\n', ""),
        ('["http://localhost:3000", "https://app.example.com"]', "", ""),
    ],
)
async def test_origins_are_checked(origins: str, auth: str, said: str) -> None:
    text = FILE.format(origins=origins, auth=auth)
    if not said:
        assert load_settings(text, {}).settings.server.cors.origins
        return
    with pytest.raises(ConfigError, match=said):
        load_settings(text, {})
