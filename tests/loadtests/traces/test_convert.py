"""Recordings as arrivals, read back by who plays them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from gateway.virtual.trace import BLOCK_TOKENS, read_trace
from loadtests.cli.commands import app
from loadtests.client.record import Record, RecordWriter
from loadtests.traces import convert as conversion

SAMPLES = Path(conversion.__file__).with_name("samples")


def test_blocks_are_those_of_who_plays_them() -> None:
    assert conversion.BLOCK_TOKENS == BLOCK_TOKENS


@pytest.mark.parametrize("name", ["azure.csv", "burstgpt.csv", "mooncake.jsonl"])
def test_every_sample_can_be_played(name: str, tmp_path: Path) -> None:
    target = tmp_path / "arrivals.jsonl"
    count = conversion.convert(SAMPLES / name, target)
    arrivals = read_trace(target)
    assert len(arrivals) == count > 150
    assert arrivals[0].arrival_ms == 0


def test_a_mooncake_id_becomes_eight_and_a_block_that_is_not_full_none(tmp_path: Path) -> None:
    source, target = tmp_path / "m.jsonl", tmp_path / "arrivals.jsonl"
    row = {"timestamp": 7, "input_length": 700, "output_length": 5, "hash_ids": [3, 9]}
    source.write_bytes(msgspec.json.encode(row))
    conversion.convert(source, target)
    (arrival,) = read_trace(target)
    assert (*range(24, 32), 72, 73) == arrival.prefix_ids
    assert (arrival.input_tokens, arrival.output_tokens) == (700, 5)


def test_a_turn_of_a_session_begins_with_the_one_before_it(tmp_path: Path) -> None:
    source, target = tmp_path / "records.jsonl", tmp_path / "arrivals.jsonl"
    with RecordWriter(source) as writer:
        writer.write(Record(index=1, ti=9_000_000, prompt_tokens=300, tokens=7, session="a", turn=1))
        writer.write(Record(index=0, ti=4_000_000, prompt_tokens=130, tokens=5, session="a"))
        writer.write(Record(index=2, ti=5_000_000, prompt_tokens=130, tokens=5, session="b"))
        writer.write(Record(index=3, ti=6_000_000, error="timeout"))
        writer.write(Record(index=4, ti=7_000_000, prompt_tokens=640, tokens=5))
    assert conversion.convert(source, target) == 4
    first, other, alone, second = read_trace(target)
    assert [first.arrival_ms, other.arrival_ms, alone.arrival_ms, second.arrival_ms] == [0, 1, 3, 5]
    assert (len(first.prefix_ids), len(second.prefix_ids), alone.prefix_ids) == (2, 4, ())
    assert first.prefix_ids == second.prefix_ids[:2]
    assert not set(first.prefix_ids) & set(other.prefix_ids)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["trace", "convert", *words])
    return result.exit_code, result.output


def test_the_command_says_how_many_or_what_is_wrong(tmp_path: Path) -> None:
    target = tmp_path / "arrivals.jsonl"
    assert run(str(SAMPLES / "azure.csv"), str(target)) == (0, f"{target}: 200 arrivals\n")
    empty = tmp_path / "records.jsonl"
    empty.write_bytes(b"")
    code, said = run(str(empty), str(target))
    assert (code, "no record has the server's usage" in said) == (2, True)
    assert run(str(tmp_path / "none.csv"), str(target))[0] == 2
