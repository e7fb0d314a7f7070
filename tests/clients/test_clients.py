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
from tests.clients.npm import PATIENCE_S, told_by
from tests.clients.plan import LACKS, NAMES

pytestmark = pytest.mark.clients
pytest.importorskip("litellm", reason="the clients are in an environment of their own: make test-clients")

from tests.clients.python import alone, anthropic_sdk, frameworks, openai_sdk  # noqa: E402 - they are not there without it

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
PAIRS = [
    (make, case)
    for make in PYTHON
    for case in CASES
    if case.__name__ not in LACKS[make.name]  # type: ignore[attr-defined]  # each is a class
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
def told(gateway: Gateway) -> Iterator[dict[tuple[str, ...], str]]:
    """What came of each case, by client: `ok`, or what went wrong."""
    yield told_by("clients.mjs", gateway.url, KEY)
    gateway.until_idle()


NPM = [(client, case) for client in ("openai (npm)", "@anthropic-ai/sdk", "ai (Vercel)") for case in NAMES]
ASKED = [(client, case) for client, case in NPM if case not in LACKS[client]]


@pytest.mark.parametrize(("client", "case"), ASKED, ids=[f"{client}-{case}" for client, case in ASKED])
def test_a_client_of_npm(told: dict[tuple[str, ...], str], client: str, case: str) -> None:
    assert told[client, case] == "ok"


def test_the_jdks_own_client(gateway: Gateway) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.fail("needs java, 17 or newer; on Debian: apt-get install default-jdk-headless")
    command = [java, str(JAVA), gateway.url, KEY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(json.loads(line) for line in done.stdout.splitlines())
    assert dict.fromkeys(set(NAMES) - LACKS["java.net.http"], "ok") == told
    gateway.until_idle()
