"""The figures of a page of metrics, as the client library writes it; old names, several engines, and any bytes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from engines.loads import EngineLoad, MetricsReader, read_metrics
from engines.loads.metrics import MOST_LINE_BYTES, MOST_SAMPLES, NAMES, SLICE_BYTES
from engines.simulator.core import SimRequest, SimulatorCore
from engines.simulator.metrics import SimulatorMetrics
from engines.simulator.settings import SimulatorSettings

ENGINES = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 5000), st.floats(0, 1), st.integers(1, 10**6)),
    min_size=1,
    max_size=8,
)
NOISE = b'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="m"} 0.0\n'


def page(engines: list[tuple[int, int, float, int]], model: str = "m") -> bytes:
    """A page of vLLM's, written by the client library as vLLM writes it."""
    registry = CollectorRegistry()
    labels = ["model_name", "engine"]
    running = Gauge("vllm:num_requests_running", "a", labels, registry=registry)
    waiting = Gauge("vllm:num_requests_waiting", "b", labels, registry=registry)
    by_reason = Gauge("vllm:num_requests_waiting_by_reason", "c", [*labels, "reason"], registry=registry)
    usage = Gauge("vllm:kv_cache_usage_perc", "d", labels, registry=registry)
    queries = Counter("vllm:prefix_cache_queries", "e", labels, registry=registry)
    config = Gauge(
        "vllm:cache_config_info", "f", ["block_size", "mamba_block_size", "num_gpu_blocks", "engine"], registry=registry
    )
    for number, (runs, waits, used, blocks) in enumerate(engines):
        engine = str(number)
        running.labels(model, engine).set(runs)
        waiting.labels(model, engine).set(waits)
        by_reason.labels(model, engine, "capacity").set(waits)
        usage.labels(model, engine).set(used)
        queries.labels(model, engine).inc(10 * blocks)
        config.labels("16", "None", str(blocks), engine).set(1)
    return generate_latest(registry)


@settings(deadline=None)
@given(ENGINES, st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20))
def test_counts_of_several_engines_are_summed_and_usages_averaged(
    engines: list[tuple[int, int, float, int]], model: str
) -> None:
    load = read_metrics(page(engines, model))
    assert load.kv_usage == pytest.approx(sum(used for _, _, used, _ in engines) / len(engines))
    assert (load.running, load.waiting, load.cache_tokens, load.block_size, load.prefix_queries_tokens) == (
        sum(runs for runs, *_ in engines),
        sum(waits for _, waits, *_ in engines),
        16 * sum(blocks for *_, blocks in engines),
        16,
        10 * sum(blocks for *_, blocks in engines),
    )
    assert load.prefix_hits_tokens is None


@pytest.mark.parametrize("old", [name for names in NAMES.values() for name in names[1:]])
def test_a_metric_under_its_old_name_is_read_unless_it_has_its_new_one(old: bytes) -> None:
    what, names = next((what, names) for what, names in NAMES.items() if old in names)
    field = {"kv_usage": "kv_usage", "queries": "prefix_queries_tokens", "hits": "prefix_hits_tokens"}[what]
    sample = old + b'engine="0",model_name="m"} 0.5\n' if what == "kv_usage" else old + b'engine="0"} 5\n'
    told = 0.5 if what == "kv_usage" else 5
    assert getattr(read_metrics(sample), field) == told
    assert getattr(read_metrics(sample + names[0] + b'engine="0"} 1.0\n'), field) == 1


def test_a_page_without_any_of_it_tells_nothing() -> None:
    assert read_metrics(b"# HELP up\nup 1\n" + NOISE) == EngineLoad()
    assert read_metrics(b"") == EngineLoad()


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "", "x", "1e400", "1_", "0x10", "9" * 400])
def test_a_value_that_makes_no_sense_is_not_taken(value: str) -> None:
    assert read_metrics(f'vllm:num_requests_waiting{{engine="0"}} {value}\n'.encode()).waiting is None


def test_a_time_and_an_exemplar_behind_a_value_are_no_part_of_it() -> None:
    assert read_metrics(b'vllm:num_requests_waiting{engine="0"} 3.0 1700000000\n').waiting == 3


def test_a_cache_whose_size_is_not_known_yet_is_not_told() -> None:
    load = read_metrics(b'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n')
    assert (load.block_size, load.cache_tokens) == (16, None)


def test_names_in_other_places_are_not_taken() -> None:
    name = b"vllm:num_requests_waiting{} "
    text = b"# " + name + b"1\nother:" + name + b'2\nx{a="' + name + b'3"} 4\n'
    assert read_metrics(text).waiting is None


@settings(deadline=None)
@given(st.integers(0, 3 * SLICE_BYTES), st.integers(0, 2 * SLICE_BYTES))
def test_it_does_not_matter_where_on_a_page_a_line_stands(before: int, after: int) -> None:
    noise = NOISE * (before // len(NOISE))
    text = noise + page([(1, 2, 0.5, 100)]) + NOISE * (after // len(NOISE))
    assert read_metrics(text) == EngineLoad(1, 2, 0.5, 1600, 16, 1000)


def test_a_step_reads_one_slice() -> None:
    reader = MetricsReader(NOISE * (4 * SLICE_BYTES // len(NOISE)))
    assert sum(1 for _ in reader.steps()) in (3, 4)


def test_samples_without_number_and_lines_without_end_are_bounded() -> None:
    many = b'vllm:num_requests_waiting{engine="0"} 1\n' * 10 * MOST_SAMPLES
    waiting = read_metrics(many).waiting
    assert waiting is not None
    assert waiting <= MOST_SAMPLES
    assert read_metrics(b'vllm:num_requests_waiting{a="' + b"x" * (MOST_LINE_BYTES + 1) + b'"} 1').waiting is None


@st.composite
def _hostile(draw: Any) -> bytes:
    names = [name for found in NAMES.values() for name in found]
    pieces = st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [*names, b"\n", b"} ", b'"', b"{", b'block_size="', b'num_gpu_blocks="', b"1", b"1e999", b"NaN"]
        ),
    )
    return b"".join(draw(st.lists(pieces, max_size=40)))


@settings(deadline=None)
@given(_hostile())
def test_no_bytes_raise_and_what_is_told_makes_sense(text: bytes) -> None:
    load = read_metrics(text)
    assert load.kv_usage is None or 0.0 <= load.kv_usage <= 1.0
    for count in (load.running, load.waiting, load.cache_tokens, load.prefix_queries_tokens, load.prefix_hits_tokens):
        assert count is None or count >= 0


def test_what_the_simulator_tells_is_read() -> None:
    few = SimulatorSettings(max_num_seqs=2, kv_cache_blocks=1000, block_size=16, max_model_len=1000)
    core = SimulatorCore(few, random.Random(0))
    for number in range(5):
        core.submit(SimRequest(number, 32, 4), 0.0)
    registry = CollectorRegistry()
    registry.register(SimulatorMetrics(core))
    load = read_metrics(generate_latest(registry))
    assert (load.running, load.waiting, load.cache_tokens, load.block_size) == (2, 3, 16_000, 16)
    assert load.prefix_queries_tokens == 64


def test_of_the_sets_of_adapters_that_there_were_the_newest_is_told() -> None:
    page = (
        b'vllm:lora_requests_info{max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""} 1.7e+09\n'
        b'vllm:lora_requests_info{max_lora="4",running_lora_adapters="sql,law",waiting_lora_adapters="tax"} 1.9e+09\n'
        b'vllm:lora_requests_info{max_lora="4",running_lora_adapters="",waiting_lora_adapters="x"} 1.8e+09\n'
    )
    assert ("law", "sql", "tax") == read_metrics(page).adapters
    assert (
        () == read_metrics(b'vllm:lora_requests_info{running_lora_adapters="",waiting_lora_adapters=""} 1\n').adapters
    )
