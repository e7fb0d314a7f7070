"""A real vLLM without adapters: one is loaded for who asks for it, and unloaded where another needs its place."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.vllm import tiny_model
from tests.vllm.conftest import address_in
from tests.vllm.serve import ENV
from tests.vllm.stack import KEY, Gateway, metric, running_gateway

pytestmark = pytest.mark.vllm

ARGS = ("--enforce-eager", "--max-model-len", "512", "--max-lora-rank", str(tiny_model.RANK))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, vllm_python: Path) -> Iterator[Gateway]:
    """A gateway with one server that has room for one adapter of two."""
    directory = tmp_path_factory.mktemp("adapters")
    model, adapters = directory / "model", {name: directory / name for name in ("sql", "tax")}
    subprocess.run([vllm_python, tiny_model.__file__, model, *adapters.values()], check=True, capture_output=True)
    engine = {
        "kind": "vllm",
        "adapters": {"paths": {name: str(path) for name, path in adapters.items()}, "load": True, "per_replica": 1},
        "launch": {
            "model": str(model),
            "args": list(ARGS),
            "python": str(vllm_python),
            "env": ENV,
            "start_timeout_s": 300,
        },
    }
    models = {name: {"targets": [{"engine": "local", "model": name}]} for name in ("tiny", "sql", "tax")}
    with running_gateway(directory, engine, within_s=300, models=models) as gateway:
        yield gateway


def answer(gateway: Gateway, model: str) -> str:
    body = {"model": model, "prompt": "ba ne ki lo", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    headers = {"authorization": f"Bearer {KEY}"}
    told = httpx.post(f"{gateway.url}/v1/completions", json=body, headers=headers, timeout=120)
    assert told.status_code == 200, told.text
    text: str = told.json()["choices"][0]["text"]
    return text


def held(gateway: Gateway) -> set[str]:
    """What the server itself says that it serves, besides its model."""
    (log,) = (gateway.data_dir / "logs").glob("*.log")
    models = httpx.get(f"{address_in(log)}/v1/models").json()["data"]
    return {model["id"] for model in models} - {"tiny"}


def test_an_adapter_is_loaded_for_the_request_that_asks_for_it_in_the_place_of_another(gateway: Gateway) -> None:
    assert held(gateway) == set()
    base, sql = answer(gateway, "tiny"), answer(gateway, "sql")
    assert held(gateway) == {"sql"}
    tax = answer(gateway, "tax")
    assert held(gateway) == {"tax"}
    assert len({base, sql, tax}) == 3  # each adapter speaks for itself
    assert answer(gateway, "sql") == sql  # loaded anew
    assert answer(gateway, "tiny") == base
    assert metric(gateway.url, "penstock_requests_total", model="sql", code="200") == 2
    assert metric(gateway.url, "penstock_retries_total") == 0
