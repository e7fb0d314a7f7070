"""The code of docs/clients.md, run as it stands there: only where it asks, and the key, are the test's."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.gateway import KEY, ROOT, Gateway, running

pytestmark = pytest.mark.clients
pytest.importorskip("litellm", reason="the clients are in an environment of their own: make test-clients")

PAGE = (ROOT / "docs" / "clients.md").read_text()
MODULES = ROOT / ".envs" / "clients" / "node"
PATIENCE_S = 120.0
ELSEWHERE = {"LM Evaluation Harness and DSPy"}
"""Sections whose packages are in another environment."""

CHECKS = {
    "OpenAI, Python": "answer.choices[0].message.content",
    "Anthropic, Python and JavaScript": "answer.content[0].text",
    "Sound and pictures": "text and picture and open('hello.wav', 'rb').read(4) == b'RIFF'",
    "LangChain": "chat.invoke('Hello').content and claude.invoke('Hello').content and vectors.embed_query('water')",
    "LlamaIndex": "llm.complete('Hello').text and embedding.get_text_embedding('water')",
    "LiteLLM, as a library": "answer.choices[0].message.content",
    "Instructor and Pydantic AI": "agent.run_sync('Hello').output and client.client",
}
"""By section, what its Python has when it was run: an expression that is true."""
LINES = {
    "OpenAI, JavaScript": "(await client.chat.completions.create({ model, messages })).choices[0].message.content",
    "Anthropic, Python and JavaScript": "(await client.messages.create({model, max_tokens, messages})).content[0].text",
    "Vercel AI SDK": "text",
}
ASKS = "const model = 'chat', max_tokens = 9, messages = [{role: 'user', content: 'Hello'}];\n"
"""What the lines say."""


def recipes(language: str) -> list[tuple[str, str]]:
    """Section and code of each block in this language."""
    found = []
    for part in PAGE.split("\n## ")[1:]:
        title = part.splitlines()[0].partition(" *(")[0]
        found += [(title, text) for text in re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)]
    return [one for one in found if one[0] not in ELSEWHERE]


def asked_of(gateway: Gateway, code: str) -> str:
    """The code with the test's address and key in the place of the page's."""
    assert "http://127.0.0.1:8080" in code or '"KEY"' not in code
    return code.replace("http://127.0.0.1:8080", gateway.url).replace('"KEY"', f'"{KEY}"').replace(" KEY", f" {KEY}")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def test_every_recipe_is_run() -> None:
    assert [title for title, _ in recipes("python")] == list(CHECKS)
    assert [title for title, _ in recipes("js")] == list(LINES)
    assert len(recipes("java")) == 1


def test_the_python_of_the_page(
    gateway: Gateway, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, subtests: Any
) -> None:
    """In the order of the page: a later block may use what an earlier one made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech.wav").write_bytes(b"\1" * 48_000)
    there: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    for title, code in recipes("python"):
        if title == "Sound and pictures":
            there["client"] = kept["OpenAI, Python"]
        with subtests.test(title):
            exec(compile(asked_of(gateway, code), title, "exec"), there)  # what a reader pastes
            assert eval(CHECKS[title], there), title  # of this file
        kept[title] = there.get("client")
    gateway.until_idle()


@pytest.mark.parametrize(("title", "code"), recipes("js"), ids=list(LINES))
def test_the_javascript_of_the_page(gateway: Gateway, title: str, code: str) -> None:
    script = MODULES / f"recipe-{list(LINES).index(title)}.mjs"
    script.write_text(f"{asked_of(gateway, code)}{ASKS}console.log('said', {LINES[title]});\n")
    node = shutil.which("node") or pytest.fail("needs node, 18 or newer")
    done = subprocess.run([node, script], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (0, True) == (done.returncode, re.match(r"said +\S", done.stdout) is not None), done.stderr
    gateway.until_idle()


def test_the_java_of_the_page(gateway: Gateway, tmp_path: pathlib.Path) -> None:
    java = shutil.which("java") or pytest.fail("needs java, 17 or newer")
    ((_, code),) = recipes("java")
    (tmp_path / "Ask.java").write_text(asked_of(gateway, code))
    command = [java, str(tmp_path / "Ask.java")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (0, True) == (done.returncode, '"content":' in done.stdout), done.stderr
    gateway.until_idle()
