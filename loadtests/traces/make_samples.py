"""Writes the samples: `python -m loadtests.traces.make_samples [DIR]`. They are made up; no recorded data is in them.

The same bytes on every machine: only `Random.random` is drawn from (its stream is promised to stay), and every figure
is rounded far above the last digit of a logarithm.
"""

from __future__ import annotations

import json
import math
import random
import sys
from bisect import bisect
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from statistics import NormalDist

ROWS = 200
SEED = 20_250_615
SAMPLES = Path(__file__).with_name("samples")
BLOCK_TOKENS = 512


def _exponential(rng: random.Random, mean: float) -> float:
    return -mean * math.log(1 - rng.random())


def _lognormal(rng: random.Random, median: float, sigma: float, most: int) -> int:
    return max(1, min(most, round(median * math.exp(sigma * NormalDist().inv_cdf(rng.random() or 0.5)))))


def _bursts(rng: random.Random, busy_gap_s: float, quiet_gap_s: float, stay: float) -> list[float]:
    """Times that alternate between busy and quiet; after each arrival the state stays with probability `stay`."""
    at, busy, times = 0.0, True, []
    for _ in range(ROWS):
        times.append(at)
        at += _exponential(rng, busy_gap_s if busy else quiet_gap_s)
        busy ^= rng.random() > stay
    return times


def azure(rng: random.Random) -> str:
    """Short gaps, long contexts, short answers, as a code assistant's."""
    start = datetime(2023, 11, 16, 18, 0, tzinfo=UTC)
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for at in _bursts(rng, 0.05, 1.0, 0.9):
        moment = start + timedelta(milliseconds=round(at * 1000))
        context, generated = _lognormal(rng, 1500, 0.9, 7437), _lognormal(rng, 30, 0.9, 1000)
        lines.append(f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond:06d}0,{context},{generated}")
    return "\n".join(lines) + "\n"


def burstgpt(rng: random.Random) -> str:
    """Whole seconds, two models, one row in twenty-five failed."""
    lines = ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"]
    for at in _bursts(rng, 1.0, 20.0, 0.85):
        model = "ChatGPT" if rng.random() < 0.8 else "GPT-4"
        log = "Conversation log" if rng.random() < 0.5 else "API log"
        request, response = _lognormal(rng, 400, 1.1, 4000), _lognormal(rng, 180, 0.8, 2000)
        if rng.random() < 0.04:
            request = response = 0
        lines.append(f"{round(at)},{model},{request},{response},{request + response},{log}")
    return "\n".join(lines) + "\n"


def mooncake(rng: random.Random) -> str:
    """Zipf over 12 system prompts of 2 to 5 blocks; half of the requests go on with an earlier conversation."""
    next_id = 0

    def fresh(count: int) -> list[int]:
        nonlocal next_id
        next_id += count
        return list(range(next_id - count, next_id))

    systems = [fresh(2 + int(rng.random() * 4)) for _ in range(12)]
    heavier = list(accumulate(1 / rank for rank in range(1, len(systems) + 1)))
    conversations: list[list[int]] = []
    lines = []
    for at in _bursts(rng, 0.2, 3.0, 0.85):
        if conversations and rng.random() < 0.5:
            base = conversations[int(rng.random() * len(conversations))]
        else:
            base = systems[bisect(heavier, rng.random() * heavier[-1])]
        own = 1 + int(_exponential(rng, 2.0))
        hash_ids = base + fresh(own)
        # A conversation goes on behind its last full block: the cut one at the end is in no later prompt.
        conversations.append(hash_ids[:-1])
        length = (len(hash_ids) - 1) * BLOCK_TOKENS + 1 + int(rng.random() * BLOCK_TOKENS)
        row = {
            "timestamp": round(at) * 1000,
            "input_length": length,
            "output_length": _lognormal(rng, 150, 0.8, 2000),
            "hash_ids": hash_ids,
        }
        lines.append(json.dumps(row))
    return "\n".join(lines) + "\n"


def samples() -> dict[str, str]:
    """The text of each file by its name."""
    makers = {"azure.csv": azure, "burstgpt.csv": burstgpt, "mooncake.jsonl": mooncake}
    return {name: make(random.Random(SEED + number)) for number, (name, make) in enumerate(makers.items())}


def main(argv: list[str]) -> None:
    """Write them into DIR, by default beside this file."""
    directory = Path(argv[0]) if argv else SAMPLES
    for name, text in samples().items():
        (directory / name).write_text(text, encoding="utf-8", newline="\n")
        print(directory / name)


if __name__ == "__main__":
    main(sys.argv[1:])
