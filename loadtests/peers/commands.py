"""How each gateway is started in front of one backend: its defaults, round robin, logging at warning, and nothing else.

Penstock is started by command like the rest, with every default feature on: keys, access line, metrics, usage and cost.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.path.backend import MODEL
from loadtests.peers.environments import ENVIRONMENTS, PeerAbsent, PeerError, ensure
from loadtests.processes.launched import free_port

API_KEY = "sk-bench-0123456789abcdef0123456789abcdef"
PENSTOCKS = ("penstock", "penstock-compiled")
TRANSLATED = "-translated"
"""A gateway of this ending is asked in OpenAI's format, and asks the engine in Anthropic's."""
NAMES = (
    *PENSTOCKS,
    *(f"{name}-no-{part}" for part in ("log", "store") for name in PENSTOCKS),
    *(f"{name}{TRANSLATED}" for name in (*PENSTOCKS, "litellm")),
    *("bare", "vllm-router", "sglang-router", "litellm", "nginx", "direct"),
)
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Command:
    """A gateway, ready to be started on its port."""

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)


def without(name: str) -> tuple[str, str]:
    """`penstock-compiled-no-log` is `penstock-compiled` without its `log`; other names are without nothing."""
    plain, _, part = name.partition("-no-")
    return (plain, part) if plain in PENSTOCKS else (name, "")


def label(name: str) -> str:
    """The name of the row: `penstock-compiled-no-log` is shown as `penstock compiled, no log`."""
    if name.endswith(TRANSLATED):
        return f"{label(name.removesuffix(TRANSLATED))}, translated"
    plain, part = without(name)
    shown = plain.replace("-", " ") if plain in PENSTOCKS else plain
    return f"{shown}, no {part}" if part else shown


def penstock_config(backend: str, work: Path, part: str = "", *, translated: bool = False) -> dict[str, object]:
    """One vLLM replica, one model, one key, a GPU price (so that cost is computed). The access line goes to a file.

    Without this `part`: `log` is the access log, `store` the record store, whose writer is a process of its own.
    """
    engine: dict[str, object] = {"kind": "vllm", "replicas": [{"url": backend}]}
    target: dict[str, object] = {"engine": "fixed", "model": MODEL}
    if translated:
        target["takes"] = ["temperature"]  # the backend's model does, as older Claude models do
        engine = {"kind": "anthropic", "base_url": backend, "api_key": "none-needed"}
    made: dict[str, object] = {
        "auth": {"keys": [{"id": "bench", "sha256": hashlib.sha256(API_KEY.encode()).hexdigest()}]},
        "engines": {"fixed": engine | {"gpu_usd_per_hour": 2.5}},
        "models": {MODEL: {"targets": [target]}},
        "telemetry": {"access_log": str(work / "access.log") if part != "log" else "off"},
        "data_dir": str(work / "data"),
    }
    return made | {"store": {"url": "off"}} if part == "store" else made


def _pure() -> str:
    beside = Path(sys.executable).with_name("penstock")
    found = str(beside) if beside.exists() else shutil.which("penstock")
    if found is None:
        raise PeerError("penstock is not installed in this environment: pip install -e .")
    return found


def compiled_python(python: Path | None = None) -> Path:
    """The Python of the compiled wheel's environment; None: `.envs/compiled`. Raises PeerAbsent without a gateway."""
    found = python or ENVIRONMENTS / "compiled" / "bin" / "python"
    if not (beside := found.with_name("penstock")).exists():
        raise PeerAbsent(f"there is no {beside}; `make install-compiled` builds it, --compiled-python names another")
    return found


def _penstock(name: str, port: int, backend: str, work: Path, workers: int, compiled: Path | None) -> Command:
    translated = name.endswith(TRANSLATED)
    plain, part = without(name.removesuffix(TRANSLATED))
    found = str(compiled_python(compiled).with_name("penstock")) if plain.endswith("compiled") else _pure()
    home = work / f"{name}-{workers}"
    home.mkdir()
    config = home / "penstock.yaml"
    made = penstock_config(backend, home, part, translated=translated)
    config.write_text(json.dumps(made, indent=1))  # JSON is YAML
    argv = [found, "serve", "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return Command([*argv, "--workers", str(workers)] if workers > 1 else argv)


def _rust_router(program: list[str], port: int, backend: str, log_level: str) -> Command:
    place = ["--host", "127.0.0.1", "--port", str(port), "--worker-urls", backend, "--policy", "round_robin"]
    # Both default to one fixed port for their metrics, and could not run side by side.
    metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())]
    return Command([*program, *place, *metrics, "--log-level", log_level])


def _litellm(port: int, backend: str, work: Path, *, translated: bool = False) -> Command:
    target = {"model": f"openai/{MODEL}", "api_base": f"{backend}/v1", "api_key": "none"}
    if translated:
        target = {"model": f"anthropic/{MODEL}", "api_base": backend, "api_key": "none"}
    config = work / f"litellm-{port}.yaml"
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": target}],
        "general_settings": {"master_key": API_KEY},  # it does not start without one
    }
    config.write_text(json.dumps(settings))
    bin_ = ensure("litellm")  # its script by its Python: the script names that of the place where it was built
    argv = [str(bin_ / "python"), str(bin_ / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "WARNING", "NO_DOCS": "True"}
    return Command([*argv, "--port", str(port), "--num_workers", "1", "--telemetry", "False"], env)


_NGINX = """daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx-error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work}; uwsgi_temp_path {work};
  scgi_temp_path {work};
  upstream engine {{ server {backend}; keepalive 1024; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{
    proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }} }}
}}
"""


def _nginx(port: int, backend: str, work: Path) -> Command:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise PeerAbsent("nginx is not installed (apt-get install nginx-light)")
    config = work / "nginx.conf"
    config.write_text(_NGINX.format(work=work, port=port, backend=backend.removeprefix("http://")))
    return Command([found, "-c", str(config), "-p", str(work)])


def custom(template: str, port: int, backend: str) -> Command:
    """A command of the user's with `{port}` and `{backend}` in it; split as a shell would, run without one."""
    return Command([word.replace("{port}", str(port)).replace("{backend}", backend) for word in shlex.split(template)])


def command(name: str, port: int, backend: str, work: Path, workers: int = 1, compiled: Path | None = None) -> Command:
    """How to start `name` on loopback `port` in front of `backend`; builds its environment when needed.

    `compiled` is the Python whose environment holds the compiled wheel; None: `.envs/compiled`. Raises PeerError, in
    one line, when it cannot be had here, and PeerAbsent when it need not be.
    """
    if without(name.removesuffix(TRANSLATED))[0] in PENSTOCKS:
        return _penstock(name, port, backend, work, workers, compiled)
    match name:
        case "bare":
            relay = ["-m", "loadtests.path.bare_relay", "--port", str(port), "--backend", backend]
            return Command([sys.executable, *relay], {"PYTHONPATH": str(ROOT)})
        case "vllm-router":
            return _rust_router([str(ensure(name) / "vllm-router")], port, backend, "warning")
        case "sglang-router":
            program = [str(ensure(name) / "python"), "-m", "sglang_router.launch_router"]
            return _rust_router(program, port, backend, "warn")
        case "litellm":
            return _litellm(port, backend, work)
        case "litellm-translated":
            return _litellm(port, backend, work, translated=True)
        case "nginx":
            return _nginx(port, backend, work)
        case _:
            raise PeerError(f"no gateway is called {name}; known: {', '.join(NAMES)}")
