"""vLLM servers on loopback, started together and kept for all rounds: a start takes a minute, a round half of one.

Between rounds their caches are emptied through the endpoint that vLLM has in its development mode, so that every round
of every policy begins with nothing cached.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from loadtests.peers.environments import PeerError
from loadtests.processes.launched import Launched, free_port

MODEL = "bench"
ROOT = Path(__file__).resolve().parents[2]
FORGET_S = 30.0
_POLL_S = 0.2
ENV = {"VLLM_SERVER_DEV_MODE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
"""The caches can be emptied; nothing is fetched, and nobody told."""


def write_model(python: str, directory: Path, size: str) -> None:
    """The model that the replicas serve. Raises PeerError with the last line of what was said."""
    if shutil.which(python) is None:
        raise PeerError(f"there is no {python}: `python tests/vllm/install.py` makes it, --python names another")
    argv = [python, "-m", "loadtests.vllm.model", str(directory), size]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    made = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    if made.returncode:
        said = made.stderr.strip().splitlines() or ["nothing was said"]
        raise PeerError(f"{python} could not make the model: {said[-1]}")


class Replicas:
    """So many servers of one model; `sockets` is where they publish what they cache."""

    def __init__(
        self, python: str, model: Path, work: Path, cores: Set[int], args: Sequence[str], env: Mapping[str, str]
    ) -> None:
        self._python = python
        self._model = model
        self._work = work
        self._cores = cores
        self._args = list(args)
        self._env = {**ENV, **env}
        # A socket's path has at most 107 bytes, and `work` may be deep.
        self.sockets = Path(tempfile.mkdtemp(prefix="penstock-vllm-"))
        self.urls: list[str] = []
        self._servers: list[Launched] = []

    def start(self, count: int, within_s: float) -> None:
        """All of them at once; returns when all are healthy. Raises PeerError."""
        deadline = time.monotonic() + within_s
        for number in range(count):
            port = free_port()
            self.urls.append(f"http://127.0.0.1:{port}")
            log = self._work / f"replica-{number}.log"
            self._servers.append(Launched(self._command(port), self._cores, log, self._env))
        for url, server in zip(self.urls, self._servers, strict=True):
            self._until_healthy(url, server, deadline)

    def _command(self, port: int) -> list[str]:
        events = {"endpoint": f"ipc://{self.sockets}/{port}", "replay_endpoint": f"ipc://{self.sockets}/{port}-replay"}
        publishing = {"enable_kv_cache_events": True, "publisher": "zmq", **events}
        return [
            *(self._python, "-m", "vllm.entrypoints.openai.api_server"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--model", str(self._model), "--served-model-name", MODEL, "--load-format", "dummy"),
            *("--enable-prompt-tokens-details", "--uvicorn-log-level", "warning", "--disable-uvicorn-access-log"),
            *("--kv-events-config", json.dumps(publishing)),
            *self._args,
        ]

    def _until_healthy(self, url: str, server: Launched, deadline: float) -> None:
        wrong = "nothing was tried"
        while time.monotonic() < deadline:
            if not server.running():
                raise PeerError(f"a replica ended at its start; {server.log} ends with:\n{server.log_tail(12)}")
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2).close()
            except OSError as error:
                wrong = str(error)
                time.sleep(_POLL_S)
                continue
            return
        raise PeerError(f"a replica is not healthy in time ({wrong}); {server.log} ends with:\n{server.log_tail(12)}")

    def forget(self) -> None:
        """Empty every cache. vLLM refuses while a request holds a block, so it is asked again. Raises PeerError."""
        for url in self.urls:
            deadline = time.monotonic() + FORGET_S
            while not _forgot(url):
                if time.monotonic() > deadline:
                    raise PeerError(f"{url} does not empty its cache within {FORGET_S:g} s")
                time.sleep(_POLL_S)

    def stop(self) -> None:
        """All of them, and no socket is left."""
        for server in self._servers:
            server.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)


def _forgot(url: str) -> bool:
    """Whether a replica has emptied its cache now."""
    try:
        request = urllib.request.Request(f"{url}/reset_prefix_cache", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            said = answer.read()
    except OSError:
        return False
    return bool(json.loads(said)["success"]) if said else True  # older ones answer with nothing
