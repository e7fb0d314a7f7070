"""Open WebUI, unmodified, set up as docs/clients.md says, and asked through its own API as its pages ask it.

Its environment is one of its own, without what it would run models with by itself (`make test-webui`), and in no lane.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.gateway import KEY, ROOT, Gateway, running

pytestmark = [pytest.mark.clients, pytest.mark.timeout(400)]
PROGRAM = pathlib.Path(os.environ.get("OPEN_WEBUI", ROOT / ".envs" / "webui" / "bin" / "open-webui"))
START_S = 200.0
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "ENABLE_VERSION_UPDATE_CHECK": "False",
    "RAG_EMBEDDING_MODEL_AUTO_UPDATE": "False",
    "WEBUI_SECRET_KEY": "of-the-tests-and-of-thirty-two-bytes",
}
"""Nothing is fetched from elsewhere."""
if not PROGRAM.exists():
    pytest.skip("in an environment of its own: make test-webui", allow_module_level=True)


class WebUI:
    """One that runs, and the user who signed up first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ""

    def ask(self, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of a GET, or of a POST where there is a body."""
        headers = {
            "content-type": "application/json",
            **({"authorization": f"Bearer {self.token}"} if self.token else {}),
        }
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def webui(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    data = tmp_path_factory.mktemp("webui")
    page = (ROOT / "docs" / "clients.md").read_text()
    recipe = page.partition("\n## Open WebUI")[2].partition("\n## ")[0]
    exported: dict[str, str] = dict(
        re.findall(r"([A-Z_]+)=(\S+)", recipe.partition("```sh")[2].partition("open-webui serve")[0])
    )
    assert {"OPENAI_API_BASE_URL", "OPENAI_API_KEY"} <= exported.keys()
    ours = {"http://127.0.0.1:8080/v1": gateway.base_url, "KEY": KEY}
    ours |= {"$OPENAI_API_BASE_URL": gateway.base_url, "$OPENAI_API_KEY": KEY}
    environment = {**os.environ, **QUIET, **{name: ours.get(value, value) for name, value in exported.items()}}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = data / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "serve", "--host", "127.0.0.1", "--port", str(port)],
            env={**environment, "DATA_DIR": str(data), "HOME": str(data)},
            cwd=data,
            stdout=output,
            stderr=output,
        )
    webui = WebUI(f"http://127.0.0.1:{port}")
    try:
        until = time.monotonic() + START_S
        while not healthy(webui):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.5)
        user = {"name": "Ada", "email": "ada@example.com", "password": "of-the-tests-1"}
        status, told = webui.ask("/api/v1/auths/signup", user)
        assert status == 200, told
        webui.token = json.loads(told)["token"]
        yield webui
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def healthy(webui: WebUI) -> bool:
    try:
        return webui.ask("/health")[0] == 200
    except OSError:
        return False


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], **more}


def test_it_lists_the_models_and_chats_plain_and_streamed(gateway: Gateway, webui: WebUI) -> None:
    status, told = webui.ask("/api/models")
    assert (200, True) == (status, {"chat", "flaky"} <= {model["id"] for model in json.loads(told)["data"]})
    status, told = webui.ask("/api/chat/completions", chat())
    assert (200, True) == (status, bool(json.loads(told)["choices"][0]["message"]["content"].strip()))
    status, told = webui.ask("/api/chat/completions", chat(stream=True))
    assert (200, True, True) == (status, told.count(b"data: ") > 4, told.rstrip().endswith(b"data: [DONE]"))
    status, told = webui.ask("/api/chat/completions", chat(model="flaky"))
    assert status == 200, "its first engine fails, and nobody notices"
    gateway.until_idle()


def test_an_engines_error_comes_through(gateway: Gateway, webui: WebUI) -> None:
    webui.ask("/api/models")
    status, told = webui.ask("/api/chat/completions", chat(model="limited"))
    assert status in (400, 429), told
    assert b"rate" in told.lower() or b"limit" in told.lower(), told
    gateway.until_idle()


def test_its_check_of_a_connection_says_what_is_wrong(gateway: Gateway, webui: WebUI) -> None:
    right = webui.ask("/openai/verify", {"url": gateway.base_url, "key": KEY})
    assert (200, True) == (right[0], b'"chat"' in right[1])
    wrong_key = webui.ask("/openai/verify", {"url": gateway.base_url, "key": "sk-wrong"})
    assert (401, True) == (wrong_key[0], b"is not known to this gateway" in wrong_key[1])
    wrong_url = webui.ask("/openai/verify", {"url": gateway.url, "key": KEY})
    assert (404, True) == (wrong_url[0], f"lacks /v1: it should be {gateway.base_url}".encode() in wrong_url[1])


def test_it_finds_documents_by_the_gateways_vectors(gateway: Gateway, webui: WebUI) -> None:
    status, told = webui.ask("/api/embeddings", {"model": "embed", "input": "water"})
    assert (200, 384) == (status, len(json.loads(told)["data"][0]["embedding"]))
    text = {"content": "a penstock leads water to a mill", "name": "penstock", "collection_name": "rivers"}
    status, told = webui.ask("/api/v1/retrieval/process/text", text)
    assert (200, True) == (status, json.loads(told)["status"]), told
    found = {"collection_name": "rivers", "query": "water", "k": 1}
    status, told = webui.ask("/api/v1/retrieval/query/doc", found)
    assert (200, True) == (status, b"penstock" in told), told
    gateway.until_idle()
