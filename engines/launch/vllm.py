"""How a local vLLM server is started: its command line, its environment and the failures worth a sentence.

vLLM lives in whatever environment `python` belongs to, often one of its own: it pins torch and much else. It is started
as a module because the `vllm` command is missing or broken in some builds. Secrets go by environment
(`VLLM_API_KEY`), never by argument: a command line is readable by every user of the machine.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engines.events.place import EventsAt
from engines.launch.launched import DRAIN_S

SERVER_MODULE = "vllm.entrypoints.openai.api_server"
_MISSING_VLLM = re.compile(r"No module named '?vllm(?![\w.])")
_CANNOT_RUN = re.compile(r"^(.+) cannot be run: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class VllmServer:
    """What one launched vLLM server is."""

    model: str
    """A local directory or a model name, as vLLM takes it."""
    args: tuple[str, ...] = ()
    """More arguments of vLLM's server; they come last, so they win."""
    python: str = sys.executable
    events: bool = False
    """Whether it is to publish what it caches."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


def vllm_command(server: VllmServer, port: int, served: Sequence[str]) -> tuple[str, ...]:
    """The argument vector of a vLLM server on 127.0.0.1:`port` that calls its model by each of `served`."""
    python = server.python or sys.executable
    return (
        *(python, "-m", SERVER_MODULE),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--model", server.model, "--served-model-name", *served),
        # Its default, 0, cuts what is in progress when a reload restarts or removes the engine. Since vLLM 0.18.
        *("--shutdown-timeout", str(DRAIN_S)),
        *(("--kv-events-config", _publishing(launched_events(port))) if server.events else ()),
        *server.args,
    )


@functools.cache
def _sockets() -> Path:
    """A directory that only we may enter: what is published there are the tokens of everybody's prompts."""
    made = tempfile.mkdtemp(prefix="penstock-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def launched_events(port: int) -> EventsAt:
    """Where the server on this port publishes what it caches. It binds unix sockets; a TCP port it would bind on every
    interface."""
    return EventsAt(f"ipc://{_sockets()}/{port}", f"ipc://{_sockets()}/{port}-replay")


def _publishing(at: EventsAt) -> str:
    return json.dumps(
        {
            "enable_kv_cache_events": True,
            "publisher": "zmq",
            "endpoint": at.endpoint,
            "replay_endpoint": at.replay_endpoint,
        }
    )


def child_environment(inherited: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """What a launched server gets: the gateway's own variables without any API key, then `extra`.

    A provider's key is none of an engine's business, and a `VLLM_API_KEY` left over in the shell would guard the
    engine with a key that the gateway does not know.
    """
    kept = {name: value for name, value in inherited.items() if not name.endswith("_API_KEY")}
    return {**kept, **extra}


def vllm_environment(server: VllmServer, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a vLLM server.

    `python -m` would put the current directory first on the path, where a folder such as `engines/` could shadow a
    package that vLLM imports; PYTHONSAFEPATH prevents that.
    """
    return child_environment(inherited, {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", **server.env})


def vllm_explanation(server: VllmServer) -> Callable[[str], str]:
    """A function from the last lines of a failed server's log to one clear sentence, or an empty string."""

    def explain(tail: str) -> str:
        if _MISSING_VLLM.search(tail):
            return f"vllm is not installed in {server.python}; install it there or set launch.python (--vllm-python)"
        if found := _CANNOT_RUN.search(tail):
            return f"{found[1]} cannot be run ({found[2]}); set launch.python to the Python that has vllm"
        return ""

    return explain
