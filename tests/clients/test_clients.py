"""The table: every client of Python and of npm, by what it is asked to do."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.clients.cases import CASES, Make
from tests.clients.gateway import KEY, Gateway, running

pytestmark = pytest.mark.clients
pytest.importorskip("litellm", reason="the clients are in an environment of their own: make test-clients")

from tests.clients.python import alone, anthropic_sdk, frameworks, openai_sdk  # noqa: E402 - they are not there without it

NODE = pathlib.Path(__file__).parent / "node"
MODULES = pathlib.Path(__file__).resolve().parents[2] / ".envs" / "clients" / "node"
NODE_S = 120.0
JAVA = pathlib.Path(__file__).parent / "java" / "Clients.java"
PYTHON: tuple[Make, ...] = (
    openai_sdk.Chat,
    openai_sdk.Responses,
    anthropic_sdk.Messages,
    frameworks.LangChainOpenAI,
    frameworks.LangChainAnthropic,
    frameworks.LlamaIndex,
    frameworks.LiteLLM,
    frameworks.Instructor,
    frameworks.PydanticAI,
)
HAS_NOT = {
    "instructor": {"stream", "tools", "embeddings", "models", "cut_stream", "cancel"},
    "pydantic-ai": {"stream", "embeddings", "models", "cut_stream", "cancel"},
    "anthropic": {"embeddings"},
    "langchain-openai": {"models"},
    "langchain-anthropic": {"embeddings", "models"},
    "llama-index": {"models"},
    "litellm": {"models"},
}
"""What a client has no way to ask."""
PAIRS = [
    (make, case)
    for make in PYTHON
    for case in CASES
    if case.__name__ not in HAS_NOT.get(make.name, set())  # type: ignore[attr-defined]  # each is a class
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("make", "case"),
    PAIRS,
    ids=[f"{make.name}-{case.__name__}" for make, case in PAIRS],  # type: ignore[attr-defined]
)
def test_a_client_of_python(gateway: Gateway, make: Make, case: object) -> None:
    name = case.__name__  # type: ignore[attr-defined]  # it is a function
    client = make(gateway.url, "sk-wrong" if name == "wrong_key" else KEY, 1.0 if name == "timeout" else 30.0)
    case(client)  # type: ignore[operator]
    gateway.until_idle()


@pytest.mark.parametrize("case", alone.ALONE, ids=[case.__name__ for case in alone.ALONE])
def test_what_one_client_of_python_has_a_way_to_ask(gateway: Gateway, case: Callable[[str, str], None]) -> None:
    case(gateway.url, KEY)
    gateway.until_idle()


@pytest.fixture(scope="module")
def told(gateway: Gateway) -> dict[str, dict[str, str]]:
    """What came of each case, by client: `ok`, or what went wrong."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("the clients of npm need node, 18 or newer; on Debian: apt-get install nodejs npm")
    shutil.copy(NODE / "clients.mjs", MODULES)  # modules are looked for where the script is
    done = subprocess.run(
        [node, str(MODULES / "clients.mjs"), gateway.url, KEY],
        capture_output=True,
        text=True,
        timeout=NODE_S,
        check=False,
    )
    found: dict[str, dict[str, str]] = {}
    for line in done.stdout.splitlines():
        client, case, came = json.loads(line)
        found.setdefault(client, {})[case] = came
    assert done.returncode == 0, done.stderr
    return found


MEDIA = {"transcription", "speech", "pictures"}
ALL = {case.__name__ for case in CASES} | MEDIA


@pytest.mark.parametrize(
    ("client", "lacks"),
    [("openai (npm)", set()), ("@anthropic-ai/sdk", {"embeddings"} | MEDIA), ("ai (Vercel)", {"models"} | MEDIA)],
)
def test_a_client_of_npm(gateway: Gateway, told: dict[str, dict[str, str]], client: str, lacks: set[str]) -> None:
    assert told[client] == dict.fromkeys(ALL - lacks, "ok")
    gateway.until_idle()


def test_the_jdks_own_client(gateway: Gateway) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.fail("needs java, 17 or newer; on Debian: apt-get install default-jdk-headless")
    command = [java, str(JAVA), gateway.url, KEY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=NODE_S, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(json.loads(line) for line in done.stdout.splitlines())
    cases = ("chat", "fallback", "stream", "transcription", "unknown_model", "timeout")
    assert dict.fromkeys(cases, "ok") == told
    gateway.until_idle()
