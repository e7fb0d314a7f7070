"""The table: clients by the providers behind the gateway, and by what is asked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.behind import CASES, MODELS, Behind, providers
from tests.clients.cases import raised, status_of
from tests.clients.gateway import KEY
from tests.clients.npm import told_by
from tests.clients.plan import BEHIND, REFUSED

pytestmark = pytest.mark.clients
pytest.importorskip("litellm", reason="the clients are in an environment of their own: make test-clients")

from tests.clients.python.conversing import MAKERS  # noqa: E402 - they are not there without it

PYTHON = list(itertools.product(MAKERS, MODELS, CASES))
NPM = list(itertools.product(("openai (npm)", "@anthropic-ai/sdk"), MODELS, BEHIND))


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with providers(tmp_path_factory.mktemp("providers")) as behind:
        yield behind


@pytest.mark.parametrize(
    ("make", "provider", "case"),
    PYTHON,
    ids=[f"{make.name}-{provider}-{case.__name__}" for make, provider, case in PYTHON],
)
def test_a_client_of_python_before(behind: Behind, make: Any, provider: str, case: Any) -> None:
    client = make(behind.gateway.url, KEY, 30.0)
    if case.__name__ in REFUSED.get((make.name, provider), ()):
        told = raised(lambda: case(client, provider))
        assert (400, True) == (status_of(told), f"{provider} does not take" in str(told)), told
        return
    left = behind.left(provider)
    case(client, provider)
    if case.__name__ == "cancel":
        behind.until_left(provider, left + 1)
    behind.gateway.until_idle()


@pytest.fixture(scope="module")
def told(behind: Behind) -> Iterator[dict[tuple[str, ...], str]]:
    """What came of each case, by client and provider: `ok`, or the status and what went wrong."""
    yield told_by("providers.mjs", behind.gateway.url, KEY, json.dumps(behind.urls))
    behind.gateway.until_idle()


@pytest.mark.parametrize(("client", "provider", "case"), NPM, ids=["-".join(cell) for cell in NPM])
def test_a_client_of_npm_before(told: dict[tuple[str, ...], str], client: str, provider: str, case: str) -> None:
    came = told[client, provider, case]
    if case in REFUSED.get((client, provider), ()):
        assert (True, True) == (came.startswith("400 "), f"{provider} does not take" in came), came
    else:
        assert came == "ok"
