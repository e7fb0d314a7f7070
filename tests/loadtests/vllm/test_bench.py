"""The comparison on real vLLM, without vLLM: what is started, what is asked of it, and what the table says."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from loadtests.peers.environments import PeerError
from loadtests.peers.table import PeerRound
from loadtests.scenario.facts import of_metrics
from loadtests.statistics.columns import columns
from loadtests.statistics.slo import Slo
from loadtests.vllm.compare import cached, gateway_config, known
from loadtests.vllm.cores import Cores, shared_out
from loadtests.vllm.model import SIZES, config
from loadtests.vllm.options import POLICIES, parse_options, server_args
from loadtests.vllm.replicas import Replicas, write_model
from loadtests.vllm.table import Knowledge, VllmRound, rows, table
from tests.loadtests.statistics.made import answered

SLO = Slo(ttft_s=0.05)


def a_round(policy: str, ttft_ms: float, knowledge: Knowledge, rate_per_s: float = 40.0) -> VllmRound:
    records = [answered(number, ttft_ms=ttft_ms) for number in range(10)]
    measured = PeerRound(columns(records), 2.0, 10, 0.1, hit_tokens=30, queried_tokens=40, served=(6, 4))
    return VllmRound(rate_per_s, policy, measured, knowledge)


def test_rounds_of_a_policy_at_a_rate_are_one_row() -> None:
    rounds = [
        a_round("prefix", 10, Knowledge(0.02, 4)),
        a_round("round_robin", 100, Knowledge(None, 4)),
        a_round("prefix", 100, Knowledge(0.04, 3)),
        a_round("prefix", 10, Knowledge(0.06, 4), rate_per_s=20.0),
    ]
    found = rows(rounds, SLO)
    assert [(20.0, "prefix"), (40.0, "prefix"), (40.0, "round_robin")] == [(r.rate_per_s, r.policy) for r in found]
    assert [(1.0, 4), (0.5, 3), (0.0, 4)] == [(row.found["attainment"], row.by_events) for row in found]
    assert [0.06, 0.03, None] == [row.error_ratio for row in found]
    lines = table(found).splitlines()
    assert lines[2].split() == [
        "40.0",
        "prefix",
        "75.0%",
        "10.0",
        "ms",
        "100.0",
        "ms",
        "1.0",
        "ms",
        "50.0%",
        "2.5",
        "1.20x",
        "3.0%",
        "3",
    ]
    assert lines[3].split()[-2:] == ["-", "4"]


def test_the_hit_rate_is_of_those_answers_that_report_it() -> None:
    half = replace(answered(0), prompt_tokens=100, cached_tokens=50)
    whole = replace(answered(1), prompt_tokens=60, cached_tokens=60)
    silent = replace(answered(2), prompt_tokens=100, cached_tokens=-1)
    assert cached(columns([half, whole, silent])) == (110, 160)


def test_what_the_gateway_knew_is_a_mean_over_the_replicas_that_report() -> None:
    scraped = of_metrics(
        'penstock_prefix_reported{engine="pool",replica="a"} 1\n'
        'penstock_prefix_reported{engine="pool",replica="b"} 1\n'
        'penstock_prefix_predicted_error_ratio{engine="pool",replica="a"} 0.125\n'
        'penstock_prefix_predicted_error_ratio{engine="pool",replica="b"} 0.375\n'
        'penstock_prefix_mode{engine="pool",replica="a",mode="events"} 1\n'
        'penstock_prefix_mode{engine="pool",replica="b",mode="approximate"} 1\n'
    )
    assert known(scraped) == Knowledge(0.25, 1)
    assert known({}) == Knowledge(None, 0)


def test_the_gateway_follows_the_events_of_every_replica(tmp_path: Path) -> None:
    made = gateway_config(["http://127.0.0.1:1", "http://127.0.0.1:2"], Path("/run/x"), tmp_path, "prefix")
    assert made["engines"] == {
        "pool": {
            "kind": "vllm",
            "replicas": [{"url": "http://127.0.0.1:1"}, {"url": "http://127.0.0.1:2"}],
            "kv_events": {"endpoint": "ipc:///run/x/{port}", "replay_endpoint": "ipc:///run/x/{port}-replay"},
        }
    }
    assert made["models"] == {
        "bench": {"targets": [{"engine": "pool", "model": "bench"}], "policy": {"name": "prefix"}}
    }


@pytest.mark.parametrize(("on", "replicas", "size"), [("cpu", 2, "small"), ("gpu", 4, "3b")])
def test_what_is_not_said_is_what_is_usual_there(on: str, replicas: int, size: str) -> None:
    options = parse_options(["--on", on, "--groups", "7", "--vllm-args=--block-size 32"])
    assert (replicas, size, 7, POLICIES) == (options.replicas, options.size, options.groups, options.policies)
    args = server_args(options)
    assert args[-2:] == ["--block-size", "32"]  # the user's win
    assert args[args.index("--num-gpu-blocks-override") + 1] == str(options.cache_blocks)


@pytest.mark.parametrize("size", list(SIZES))
def test_the_models_have_whole_groups_of_heads(size: str) -> None:
    made = config(size)
    heads, shared = made["num_attention_heads"], made["num_key_value_heads"]
    assert isinstance(heads, int)
    assert isinstance(shared, int)
    assert heads % shared == 0


def test_four_cores_are_shared_out_and_fewer_are_not() -> None:
    assert shared_out({3, 1, 2, 0}) == Cores({0, 1}, (2,), {3})
    assert shared_out({0, 1}) == Cores({0, 1}, (), {0, 1})


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"there is no /nowhere/python: `python tests/vllm/install.py` makes it"):
        write_model("/nowhere/python", tmp_path, "tiny")


def test_a_python_without_vllm_is_told_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"could not make the model: ModuleNotFoundError: No module named 'tokenizers'"):
        write_model(sys.executable, tmp_path, "tiny")


@contextmanager
def busy_replica(answers: list[bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers so in turn, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            body = answers.pop(0)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("last", [json.dumps({"success": True}).encode(), b""])
def test_a_cache_is_emptied_as_soon_as_no_request_holds_a_block(tmp_path: Path, last: bytes) -> None:
    replicas = Replicas("python", tmp_path, tmp_path, {0}, [], {})
    with busy_replica([json.dumps({"success": False}).encode(), last]) as (url, asked):
        replicas.urls.append(url)
        replicas.forget()
    replicas.stop()
    assert not replicas.sockets.exists()
    assert asked == ["/reset_prefix_cache"] * 2


def test_a_replica_that_ends_at_its_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no GPU is here\nexit 1\n")
    program.chmod(0o755)
    replicas = Replicas(str(program), tmp_path, tmp_path, {0}, [], {})
    try:
        with pytest.raises(PeerError, match="no GPU is here"):
            replicas.start(1, within_s=60)
    finally:
        replicas.stop()
