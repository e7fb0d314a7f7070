"""How each gateway is started in front of several vLLM replicas, with a routing policy; all else at its default."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.peers.commands import API_KEY, Command, compiled_python
from loadtests.peers.environments import PeerError, ensure
from loadtests.processes.launched import free_port

MODEL = "bench"
PRODUCTS = ("penstock", "penstock-compiled", "vllm-router", "sglang-router", "litellm")
DEFAULT = (
    "penstock",
    "penstock:round_robin",
    "vllm-router:round_robin",
    "vllm-router:cache_aware",
    "sglang-router:round_robin",
    "sglang-router:cache_aware",
    "litellm",
)
"""`NAME` or `NAME:POLICY`; without a policy, the gateway's own default."""


def fleet_command(name: str, port: int, replicas: Sequence[str], work: Path, compiled: Path | None = None) -> Command:
    """How to start `NAME[:POLICY]` on a loopback port in front of vLLM servers at these URLs.

    Builds its environment when needed; `compiled` is the Python of the compiled wheel's, None: `.envs/compiled`. Raises
    PeerError, in one line, when it cannot be had here.
    """
    product, _, policy = name.partition(":")
    work.mkdir(parents=True, exist_ok=True)
    match product:
        case "penstock":
            return _penstock(_sources(), port, replicas, work, policy)
        case "penstock-compiled":
            found = compiled_python(compiled).with_name("penstock")
            # The sources that this program was told to run from would hide what is installed there.
            return _penstock(str(found), port, replicas, work, policy, {"PYTHONPATH": ""})
        case "vllm-router":
            return _rust_router([str(ensure(product) / "vllm-router")], port, replicas, policy, "warning")
        case "sglang-router":
            program = [str(ensure(product) / "python"), "-m", "sglang_router.launch_router"]
            return _rust_router(program, port, replicas, policy, "warn")
        case "litellm":
            return _litellm(port, replicas, work, policy)
        case _:
            raise PeerError(f"no gateway is called {product}; known: {', '.join(PRODUCTS)}")


def penstock_config(replicas: Sequence[str], work: Path, policy: str) -> dict[str, object]:
    """One engine with all replicas, one model; `policy` empty is the default."""
    model: dict[str, object] = {"targets": [{"engine": "pool", "model": MODEL}]}
    if policy:
        model["policy"] = {"name": policy}
    return {
        "engines": {"pool": {"kind": "vllm", "replicas": [{"url": url} for url in replicas]}},
        "models": {MODEL: model},
        "telemetry": {"access_log": str(work / "access.log")},
        "data_dir": str(work / "data"),
    }


def _sources() -> str:
    beside = Path(sys.executable).with_name("penstock")
    found = str(beside) if beside.exists() else shutil.which("penstock")
    if found is None:
        raise PeerError("penstock is not installed in this environment: pip install -e .")
    return found


def _penstock(
    program: str, port: int, replicas: Sequence[str], work: Path, policy: str, env: Mapping[str, str] | None = None
) -> Command:
    config = work / "penstock.yaml"
    config.write_text(json.dumps(penstock_config(replicas, work, policy), indent=1))  # JSON is YAML
    argv = [program, "serve", "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return Command(argv, env or {})


def _rust_router(program: list[str], port: int, replicas: Sequence[str], policy: str, log_level: str) -> Command:
    place = ["--host", "127.0.0.1", "--port", str(port), "--worker-urls", *replicas]
    metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    chosen = ["--policy", policy] if policy else []
    return Command([*program, *place, *chosen, *metrics, "--log-level", log_level])


def _litellm(port: int, replicas: Sequence[str], work: Path, policy: str) -> Command:
    target = {"model": f"openai/{MODEL}", "api_key": "none"}
    models = [{"model_name": MODEL, "litellm_params": {**target, "api_base": f"{url}/v1"}} for url in replicas]
    keys = {"general_settings": {"master_key": API_KEY}}  # it does not start without one
    settings = {"model_list": models, **keys, **({"router_settings": {"routing_strategy": policy}} if policy else {})}
    config = work / "litellm.yaml"
    config.write_text(json.dumps(settings))
    bin_ = ensure("litellm")  # its script by its Python: the script names that of the place where it was built
    argv = [str(bin_ / "python"), str(bin_ / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "WARNING", "NO_DOCS": "True"}
    return Command([*argv, "--port", str(port), "--num_workers", "1", "--telemetry", "False"], env)
