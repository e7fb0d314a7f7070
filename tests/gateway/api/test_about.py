"""The pages, the document for programs, and the paths that clients ask by mistake, of a whole gateway."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser

import pytest

from engines.operations import SHAPES
from gateway.api.surface import endpoints
from gateway.body.envelope import MOST_MEMBERS
from tests.scenario.gateway import KEY, Gateway

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


async def test_the_front_page_lists_models_to_who_may_use_them(gateway: Gateway, limited: dict[str, str]) -> None:
    everybody = (await gateway.http.get("/", headers={**BROWSER, **NO_KEY})).text
    assert "chat-small" not in everybody
    some = (await gateway.http.get("/", headers={**BROWSER, **limited})).text
    assert ("chat-small" in some, "chat-large" in some) == (True, False)


async def test_the_command_on_the_page_can_be_pasted(gateway: Gateway) -> None:
    text = unescape((await gateway.http.get("/", headers=BROWSER)).text)
    assert f"curl {gateway.url}/v1/chat/completions \\\n  -H " in text


async def test_a_program_is_told_the_same_as_json(gateway: Gateway) -> None:
    told = (await gateway.http.get("/", headers=NO_KEY)).json()
    assert (told["name"], told["openai_base_url"]) == ("penstock", f"{gateway.url}/v1")


async def test_a_strange_host_is_not_repeated(gateway: Gateway) -> None:
    answer = await gateway.http.get("/", headers={**BROWSER, "host": "<script>"})
    assert answer.status_code in (200, 400)
    assert "<script>" not in answer.text


async def test_every_operation_and_every_get_is_described(gateway: Gateway) -> None:
    paths = (await gateway.http.get("/openapi.json")).json()["paths"]
    for shape in SHAPES.values():
        assert {method.decode().lower() for method in shape.methods} <= set(paths[shape.path])
    assert {"/v1/models", "/metrics", "/"} <= set(paths)
    ids = [said["operationId"] for methods in paths.values() for said in methods.values()]
    assert len(ids) == len(set(ids)) == len(list(endpoints()))


async def test_a_trailing_slash_works(gateway: Gateway) -> None:
    assert (await gateway.http.get("/v1/models/")).json() == (await gateway.http.get("/v1/models")).json()
    answer = await gateway.http.post("/v1/chat/completions/", json={"model": "nope", "messages": []})
    assert answer.json()["error"]["code"] == "model_not_found"


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
