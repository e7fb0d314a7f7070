"""The pages, the document for programs, and the paths that clients ask by mistake, of a whole gateway."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable
from html import unescape
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from starlette.routing import Route

from engines.operations import SHAPES
from gateway.admin.app import admin_routes
from gateway.api import guides
from gateway.api.app import control_app
from gateway.body.envelope import MOST_MEMBERS
from tests.scenario.gateway import AUTH, KEY, Gateway, one_model, running_gateway
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NO_KEY = {"authorization": ""}


class Elements(HTMLParser):
    """The tags that are open at the end, and every attribute that loads something."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "srcset", "style", "onclick")]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_is_whole_and_loads_nothing(gateway: Gateway, path: str) -> None:
    answer = await gateway.http.get(path, headers=BROWSER)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    page = Elements(answer.text)
    assert (page.open, page.loads) == ([], [])
    assert page.tags.isdisjoint({"script", "link", "img", "iframe"})
    for link in page.links:
        assert (await gateway.http.get(link)).status_code == 200


async def test_the_front_page_links_to_the_guides_that_are_there(
    gateway: Gateway, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Elements((await gateway.http.get("/", headers=BROWSER)).text)
    shown = [link for link in page.links if link.startswith("/docs/")]
    assert shown == [f"/docs/{name}.md" for name, _ in guides.SHOWN]
    told = await gateway.http.get("/docs/clients.md", headers=NO_KEY)
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    page = Elements((await gateway.http.get("/docs/clients.md", headers=BROWSER)).text)
    assert (page.open, page.loads, {"h1", "h2", "table", "pre"} <= page.tags) == ([], [], True)
    assert told.text == (guides.folder() / "clients.md").read_text("utf-8")
    none = await gateway.http.get("/docs/../README.md")
    assert none.status_code == 404
    assert (await gateway.http.get("/docs/..%2FREADME.md")).status_code == 404
    for name in ("nope.md", "client"):
        none = await gateway.http.get(f"/docs/{name}")
        assert (none.status_code, "; there is README.md, " in none.json()["error"]["message"]) == (404, True), name
    assert guides.links(tmp_path) == []
    monkeypatch.setattr(guides, "folder", lambda: tmp_path)
    none = await gateway.http.get("/docs/clients.md")
    assert none.json()["error"]["message"] == "there is no guide 'clients.md': this installation has none"


async def test_the_front_page_lists_models_to_who_may_use_them(gateway: Gateway, limited: dict[str, str]) -> None:
    everybody = (await gateway.http.get("/", headers={**BROWSER, **NO_KEY})).text
    assert "chat-small" not in everybody
    some = (await gateway.http.get("/", headers={**BROWSER, **limited})).text
    assert ("chat-small" in some, "chat-large" in some) == (True, False)


async def test_the_command_on_the_page_can_be_pasted(gateway: Gateway) -> None:
    text = unescape((await gateway.http.get("/", headers=BROWSER)).text)
    assert f"curl {gateway.url}/v1/chat/completions \\\n  -H " in text
    assert "export PENSTOCK_KEY=YOUR_KEY" in text


@pytest.mark.parametrize("keys", [True, False])
async def test_the_python_on_the_page_can_be_pasted(keys: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_KEY", KEY)
    async with running_upstream() as upstream, running_gateway(settings(upstream.url, keys=keys)) as gateway:
        page = unescape((await gateway.http.get("/", headers=BROWSER)).text)
    python = page.partition("<pre><code>" + ("import os" if keys else "from openai"))
    text = python[1].removeprefix("<pre><code>") + python[2].partition("</code></pre>")[0]
    said: dict[str, Any] = {}
    exec(text.partition("\nanswer = ")[0], said)  # what makes the client
    client = said["client"]
    assert (f"{gateway.url}/v1/", KEY if keys else "any while the gateway is open") == (
        str(client.base_url),
        client.api_key,
    )
    assert 'model="chat"' in text


def settings(url: str, *, keys: bool = True, **sections: Any) -> dict[str, Any]:
    """A wildcard stands first: it is no name that can be asked for."""
    made = one_model(url, **({} if keys else {"auth": {}}), **sections)
    made["models"] = {"zoo/*": made["models"]["chat"], **made["models"]}
    return made


async def test_a_program_is_told_the_same_as_json(gateway: Gateway) -> None:
    told = (await gateway.http.get("/", headers=NO_KEY)).json()
    assert (told["name"], told["openai_base_url"]) == ("penstock", f"{gateway.url}/v1")


async def test_a_strange_host_is_not_repeated(gateway: Gateway) -> None:
    answer = await gateway.http.get("/", headers={**BROWSER, "host": "<script>"})
    assert answer.status_code in (200, 400)
    assert "<script>" not in answer.text


def asked_for(routes: Iterable[Route]) -> set[tuple[str, str]]:
    """Method and path, places alike."""
    return {
        (method, re.sub(r"\{[^}]*\}", "{}", route.path.rstrip("/") or "/"))
        for route in routes
        for method in route.methods or ()
        if method != "HEAD" and not route.path.startswith(("/admin/{", "/openai/"))  # other names of what is described
    }


async def test_what_is_described_is_what_the_apps_route(gateway: Gateway) -> None:
    document = (await gateway.http.get("/openapi.json")).json()
    described = {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, methods in document["paths"].items()
        for method in methods
    }
    operations = {
        (method.decode(), re.sub(r"\{[^}]*\}", "{}", shape.path))
        for shape in SHAPES.values()
        for method in shape.methods
    }
    clients = [route for route in control_app(cast(Any, None)).routes if isinstance(route, Route)]
    administering = {
        (method, path.replace("replicas/{}/", "replicas/{}/{}/"))  # the replica's place holds the engine, too
        for method, path in asked_for(admin_routes(cast(Any, None), lambda: True))
    }
    assert described == operations | asked_for(clients) | administering
    ids = [said["operationId"] for methods in document["paths"].values() for said in methods.values()]
    assert len(ids) == len(set(ids)) == len(described)


async def test_what_is_not_served_here_is_not_described_and_says_so_when_it_is_asked_for() -> None:
    keys = [{**AUTH["keys"][0], "admin": True}]
    sections: dict[str, Any] = {
        "admin": {"listen": "127.0.0.1:0"},
        "server": {"port": 0, "metrics": "off"},
        "auth": {"keys": keys},
    }
    async with running_upstream() as upstream, running_gateway(settings(upstream.url, **sections)) as gateway:
        paths = (await gateway.http.get("/openapi.json")).json()["paths"]
        page = (await gateway.http.get("/docs", headers=BROWSER)).text
        assert [] == [path for path in paths if path.startswith("/admin") or path == "/metrics"]
        assert ("/admin/" in page, "/metrics" in page) == (False, False)
        for path, said in (("/metrics", "`server.metrics: off`"), ("/admin/v1/replicas", "at `admin.listen`")):
            answer = await gateway.http.get(path)
            assert (404, True) == (answer.status_code, said in answer.json()["error"]["message"]), path


async def test_a_trailing_slash_works(gateway: Gateway) -> None:
    assert (await gateway.http.get("/v1/models/")).json() == (await gateway.http.get("/v1/models")).json()
    answer = await gateway.http.post("/v1/chat/completions/", json={"model": "nope", "messages": []})
    assert answer.json()["error"]["code"] == "model_not_found"
    for path in ("/v1/models/chat-small", "/openai/models", "/docs", "/openapi.json", "/health", "/ready"):
        with_slash = await gateway.http.get(f"{path}/", headers=BROWSER)
        assert (200, (await gateway.http.get(path, headers=BROWSER)).text) == (with_slash.status_code, with_slash.text)
    assert (await gateway.http.get("/metrics/")).status_code == 200


async def test_a_guide_is_found_without_its_ending_and_nothing_beside_the_guides(gateway: Gateway) -> None:
    guide = (await gateway.http.get("/docs/clients.md")).text
    for path in ("/docs/clients", "/docs/clients/", "/docs/clients.md/"):
        assert (await gateway.http.get(path)).text == guide, path
    for path in ("..", "%2e%2e", "..%2fREADME.md", "%00", "clients.md%00", "../pyproject.toml", "x%3Cscript%3E"):
        answer = await gateway.http.get(f"/docs/{path}", headers=BROWSER)
        # httpx itself takes `..` out of a path, which leaves the page of the API or nothing.
        assert answer.status_code == 404 or "<h1>Penstock" in answer.text, path
        assert "[project]" not in answer.text
        assert answer.status_code == 200 or answer.headers["content-type"] == "application/json"


async def test_azures_way_names_the_model_in_the_path_and_its_key_in_its_own_header(gateway: Gateway) -> None:
    path = "/openai/deployments/nope/chat/completions?api-version=2024-10-21"
    client = gateway.http
    client.headers.pop("authorization")
    refused = await client.post(path, json={"messages": []})
    assert refused.status_code == 401
    answer = await client.post(path, json={"messages": []}, headers={"api-key": KEY})
    assert "'nope'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"\xff":1}', "not valid UTF-8 at byte 2"),
        (b"{" + b'"k":0,' * (MOST_MEMBERS + 1) + b'"m\\u006fdel":"x"}', "too many to look for its `model`"),
    ],
)
async def test_a_body_that_cannot_take_the_model_of_its_path_is_a_400_with_its_line(
    gateway: Gateway, body: bytes, said: str
) -> None:
    for number in range(2):  # the connection goes on
        answer = await gateway.http.post("/openai/deployments/chat/chat/completions", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
        assert said in answer.json()["error"]["message"]
        record = await gateway.records.of(number)
        assert (record.status, record.error, record.operation) == (400, "invalid_json", "/v1/chat/completions")
        assert said in record.reason


async def test_a_detour_without_a_body_needs_a_key_too(gateway: Gateway) -> None:
    answer = await gateway.http.request("GET", "/v1/chat/completions/", headers=NO_KEY)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "x-penstock-record-id" in answer.headers


async def test_a_wrong_base_url_is_told_in_the_answer(gateway: Gateway) -> None:
    answer = await gateway.http.post("/chat/completions", json={})
    assert answer.json()["error"]["message"] == (
        f"there is nothing at '/chat/completions'; the base URL lacks /v1: it should be {gateway.url}/v1"
    )
