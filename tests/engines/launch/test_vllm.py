"""The command line and environment of a launched vLLM, and the pace of restarts: plain values."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from engines.launch.launched import Pace
from engines.launch.vllm import (
    VllmServer,
    child_environment,
    launched_events,
    vllm_command,
    vllm_environment,
    vllm_explanation,
)


def test_the_command_runs_vllms_server_module_on_loopback() -> None:
    launch = VllmServer("org/model", args=("--max-model-len", "8192"), python="/opt/vllm/bin/python")
    assert vllm_command(launch, 1234, ["local"]) == (
        *("/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"),
        *("--host", "127.0.0.1", "--port", "1234"),
        *("--model", "org/model", "--served-model-name", "local"),
        *("--shutdown-timeout", "25"),
        *("--max-model-len", "8192"),
    )


def test_a_server_that_is_to_publish_binds_sockets_that_only_we_may_reach() -> None:
    command = vllm_command(VllmServer("m", args=("--last",), events=True), 1234, ["m"])
    at = launched_events(1234)
    assert command[-3:-1] == (
        "--kv-events-config",
        json.dumps(
            {
                "enable_kv_cache_events": True,
                "publisher": "zmq",
                "endpoint": at.endpoint,
                "replay_endpoint": at.replay_endpoint,
            }
        ),
    )
    directory = Path(at.endpoint.removeprefix("ipc://")).parent
    assert directory.stat().st_mode & 0o777 == 0o700
    assert at != launched_events(1235)


def test_a_child_inherits_no_api_key_but_gets_the_one_meant_for_it() -> None:
    inherited = {"PATH": "/bin", "OPENAI_API_KEY": "a", "VLLM_API_KEY": "stale", "HF_TOKEN": "kept"}
    assert child_environment(inherited, {}) == {"PATH": "/bin", "HF_TOKEN": "kept"}
    assert child_environment(inherited, {"VLLM_API_KEY": "b"}) == {
        "PATH": "/bin",
        "HF_TOKEN": "kept",
        "VLLM_API_KEY": "b",
    }


def test_vllm_does_not_import_from_the_current_directory() -> None:
    assert vllm_environment(VllmServer("m", env={"A": "1"}), {}) == {
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "A": "1",
    }


def test_an_environment_is_not_shown_by_repr() -> None:
    assert "hunter2" not in repr(VllmServer("m", env={"VLLM_API_KEY": "hunter2"}))


def test_only_a_missing_vllm_is_explained_as_such() -> None:
    explain = vllm_explanation(VllmServer("m", python="/p"))
    missing = "vllm is not installed in /p; install it there or set launch.python (--vllm-python)"
    assert explain("/p: Error while finding module specification (ModuleNotFoundError: No module named 'vllm')") == (
        missing
    )
    assert explain("ModuleNotFoundError: No module named 'vllm'\n") == missing
    assert explain("ModuleNotFoundError: No module named 'vllm._C'") == ""
    assert explain("ModuleNotFoundError: No module named 'vllm_omni'") == ""
    assert explain("OutOfMemoryError") == ""


def test_back_off_doubles_up_to_its_limit_and_half_of_it_is_random() -> None:
    class Fixed(Random):
        def __init__(self, value: float) -> None:
            self.value = value

        def random(self) -> float:
            return self.value

    pace = Pace(first_backoff_s=1.0, max_backoff_s=60.0)
    assert [pace.backoff_s(n, Fixed(0.0)) for n in (0, 1, 2, 5, 6, 10_000)] == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0]
    assert [pace.backoff_s(n, Fixed(1.0)) for n in (0, 1, 2, 5, 6)] == [1.0, 2.0, 4.0, 32.0, 60.0]
