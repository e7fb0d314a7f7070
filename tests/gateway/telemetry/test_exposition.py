"""What a scrape returns, read back with Prometheus' own parser: names, labels and buckets are a public interface."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Line

from engines.model import Usage
from gateway import version
from gateway.telemetry.exposition import CHUNK_BLOCKS, CONTENT_TYPE, render, render_lines
from gateway.telemetry.metrics import Metrics, MetricsSnapshot, Sample, Series, merge
from gateway.telemetry.metrics.families import BY_NAME
from gateway.telemetry.metrics.families.admission import QUEUE_TOKENS, SHED
from gateway.telemetry.metrics.families.configuration import CONFIG_RELOADS
from gateway.telemetry.metrics.families.loops import LOOP_AGE, LOOP_RESTARTS
from gateway.telemetry.metrics.families.prompts import PROMPTS_HELD
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED
from gateway.telemetry.metrics.families.replicas import BREAKER_OPEN, REPLICAS
from gateway.telemetry.metrics.families.retries import FALLBACKS, RETRIES
from gateway.telemetry.metrics.family import Family
from gateway.telemetry.metrics.series import (
    DURATION_BOUNDS_S,
    OVERHEAD_BOUNDS_S,
    QUEUE_BOUNDS_S,
    TPOT_BOUNDS_S,
    TTFT_BOUNDS_S,
    Histogram,
)
from gateway.telemetry.metrics.text import CACHED_PAIRS
from tests.gateway.telemetry.oracle import COUNTERS, GAUGES, expected_text

TYPES = re.compile(r"^# TYPE .*", re.MULTILINE)
ROUTE = {"model": "chat", "engine": "llama", "arm": "control"}


def lines(snapshot: MetricsSnapshot) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for family in text_string_to_metric_families(render(snapshot).decode()):
        for line in family.samples:
            found.setdefault(line.name, []).append(line)
    return found


def values(snapshot: MetricsSnapshot, name: str) -> list[tuple[dict[str, str], float]]:
    return [(line.labels, line.value) for line in lines(snapshot).get(name, [])]


def worker() -> Metrics:
    metrics = Metrics(["chat"])
    series = metrics.series("chat", "llama", "control")
    series.settle(200, 1.5, 0.25, 0.04, 0.0001, Usage(100, 20, cached_tokens=60, reasoning_tokens=5), 0.5)
    series.settle(503, 0.002)
    series.error("no_replica")
    series.in_flight = 2
    return metrics


def test_counters_of_a_route() -> None:
    snapshot = worker().snapshot()
    assert values(snapshot, "penstock_requests_total") == [
        ({**ROUTE, "code": "200"}, 1.0),
        ({**ROUTE, "code": "503"}, 1.0),
    ]
    assert values(snapshot, "penstock_tokens_total") == [
        ({**ROUTE, "kind": "input"}, 100.0),
        ({**ROUTE, "kind": "cached"}, 60.0),
        ({**ROUTE, "kind": "output"}, 20.0),
        ({**ROUTE, "kind": "reasoning"}, 5.0),
    ]
    assert values(snapshot, "penstock_cost_usd_total") == [(ROUTE, 0.5)]


def test_errors_and_in_flight_add_up_over_the_arms() -> None:
    metrics = worker()
    canary = metrics.series("chat", "llama", "canary")
    canary.error("no_replica")
    canary.in_flight = 5
    snapshot = metrics.snapshot()
    assert values(snapshot, "penstock_errors_total") == [
        ({"model": "chat", "engine": "llama", "kind": "no_replica"}, 2.0)
    ]
    assert values(snapshot, "penstock_in_flight") == [({"model": "chat", "engine": "llama"}, 7.0)]


def test_histograms_have_the_published_buckets_and_are_cumulative() -> None:
    found = lines(worker().snapshot())
    ttft = {line.labels["le"]: line.value for line in found["penstock_time_to_first_token_seconds_bucket"]}
    assert [float(le) for le in ttft] == [*TTFT_BOUNDS_S, float("inf")]
    assert [ttft["0.1"], ttft["0.25"], ttft["+Inf"]] == [0.0, 1.0, 1.0]
    tpot = [float(line.labels["le"]) for line in found["penstock_time_per_output_token_seconds_bucket"]]
    assert tpot == [*TPOT_BOUNDS_S, float("inf")]
    duration = found["penstock_request_duration_seconds_bucket"]
    assert (duration[0].labels["le"], duration[0].value) == ("0.005", 1.0)
    assert (duration[-2].labels["le"], duration[-2].value) == ("600.0", 2.0)
    assert found["penstock_request_duration_seconds_count"][0].value == 2.0
    assert found["penstock_request_duration_seconds_sum"][0].value == 1.502
    overhead = [line.labels["le"] for line in found["penstock_overhead_seconds_bucket"]]
    assert (overhead[0], overhead[-2]) == ("5e-05", "0.1")


def test_the_other_counters_and_gauges() -> None:
    metrics = Metrics(["chat"])
    metrics.count(RETRIES, "llama", "timeout")
    metrics.count(FALLBACKS, "chat", "llama", "openai")
    metrics.count(SHED, "chat", "queue_full")
    metrics.count(CONFIG_RELOADS, "applied")
    metrics.count(RECORDS_DROPPED, "spans", by=3)
    metrics.watch(BREAKER_OPEN, lambda: [(("llama", "r1"), 1.0)])
    metrics.watch(QUEUE_TOKENS, lambda: [(("chat",), 512.0)])
    metrics.watch(REPLICAS, lambda: [(("llama", "up"), 2.0)])
    metrics.watch(LOOP_AGE, lambda: [(("health",), 0.25)])
    metrics.watch_counts(LOOP_RESTARTS, lambda: [(("health",), 2)])
    snapshot = metrics.snapshot()
    expected = {
        "penstock_retries_total": ({"engine": "llama", "reason": "timeout"}, 1.0),
        "penstock_fallbacks_total": ({"model": "chat", "from": "llama", "to": "openai"}, 1.0),
        "penstock_shed_total": ({"model": "chat", "reason": "queue_full"}, 1.0),
        "penstock_config_reloads_total": ({"result": "applied"}, 1.0),
        "penstock_records_dropped_total": ({"sink": "spans"}, 3.0),
        "penstock_breaker_open": ({"engine": "llama", "replica": "r1"}, 1.0),
        "penstock_queue_tokens": ({"model": "chat"}, 512.0),
        "penstock_replicas": ({"engine": "llama", "state": "up"}, 2.0),
        "penstock_loop_last_success_age_seconds": ({"loop": "health"}, 0.25),
        "penstock_loop_restarts_total": ({"loop": "health"}, 2.0),
    }
    assert {name: values(snapshot, name) for name in expected} == {name: [value] for name, value in expected.items()}


def test_two_workers_read_as_one() -> None:
    both = merge([worker().snapshot(), worker().snapshot()])
    assert values(both, "penstock_requests_total") == [
        ({**ROUTE, "code": "200"}, 2.0),
        ({**ROUTE, "code": "503"}, 2.0),
    ]


def test_a_request_that_reached_no_engine_shows_its_code_and_nothing_empty() -> None:
    metrics = Metrics(["chat"])
    metrics.series("nonsense").settle(404, 0.001)
    metrics.series("nonsense").error("model_not_found")
    snapshot = metrics.snapshot()
    assert values(snapshot, "penstock_requests_total") == [
        ({"model": "other", "engine": "", "arm": "", "code": "404"}, 1.0)
    ]
    found = lines(snapshot)
    assert "penstock_time_to_first_token_seconds_count" not in found
    assert "penstock_tokens_total" not in found
    assert "penstock_in_flight" not in found
    assert found["penstock_request_duration_seconds_count"][0].value == 1.0


def test_a_resolved_route_is_there_before_its_first_request() -> None:
    metrics = Metrics(["chat"])
    metrics.series("chat", "llama", "control")
    snapshot = metrics.snapshot()
    assert values(snapshot, "penstock_requests_total") == [({**ROUTE, "code": "200"}, 0.0)]
    assert lines(snapshot)["penstock_time_to_first_token_seconds_count"][0].value == 0.0


def test_label_values_are_escaped() -> None:
    name = 'a"b\\c\nd%s{}\u2028'
    metrics = Metrics([name])
    metrics.series(name, "llama").settle(200, 1.0)
    snapshot = metrics.snapshot()
    assert values(snapshot, "penstock_requests_total")[0][0]["model"] == name
    assert 'model="a\\"b\\\\c\\nd%s{}\u2028"} 1\n' in render(snapshot).decode()


def test_a_name_that_is_no_unicode_does_not_cost_the_scrape() -> None:
    metrics = Metrics(["\ud800"])
    metrics.series("\ud800", "llama")
    assert values(metrics.snapshot(), "penstock_cost_usd_total")[0][0]["model"] == "?"


def test_what_is_not_finite_is_spelled_as_prometheus_reads_it() -> None:
    ages = [("a", math.inf), ("b", -math.inf), ("c", math.nan), ("d", 1e300), ("e", -0.5)]
    snapshot = MetricsSnapshot(gauges=[Sample(LOOP_AGE.name, (loop,), age) for loop, age in ages])
    text = render(snapshot).decode()
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(LOOP_AGE.name)]
    assert found == ["+Inf", "-Inf", "NaN", "1e+300", "-0.5"]


def test_the_build_and_this_process_are_shown() -> None:
    found = lines(MetricsSnapshot())
    assert [(line.labels, line.value) for line in found["penstock_build_info"]] == [
        ({"build": version.build(), "python": version.PYTHON, "version": version.VERSION}, 1.0)
    ]
    assert found["process_resident_memory_bytes"][0].value > 1_000_000


def test_the_processes_asked_for_are_measured() -> None:
    def sizes(*pids: int) -> list[float]:
        families = text_string_to_metric_families(render(MetricsSnapshot(), pids).decode())
        return [family.samples[0].value for family in families if family.name == "process_open_fds"]

    me, gone = os.getpid(), 2**31 - 1
    assert sizes(me, me, gone) == [2 * sizes(me)[0]]
    assert sizes(gone) == []


def test_every_family_has_a_help_text() -> None:
    families = list(text_string_to_metric_families(render(worker().snapshot()).decode()))
    assert [family.name for family in families if not family.documentation.endswith(".")] == []
    assert sorted(BY_NAME) == sorted({line.split()[2] for line in TYPES.findall(render(MetricsSnapshot()).decode())})
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_each_chunk_holds_whole_lines_and_a_bounded_number() -> None:
    metrics = Metrics([f"m{number}" for number in range(100)])
    for number in range(100):
        metrics.series(f"m{number}", "llama").settle(200, 1.0)
    snapshot = metrics.snapshot()
    chunks = list(render_lines(snapshot))
    assert [chunk[-1:] for chunk in chunks] == [b"\n"] * len(chunks)
    assert max(chunk.count(b"\n") for chunk in chunks) <= CHUNK_BLOCKS * (len(DURATION_BOUNDS_S) + 3)
    assert without_processes(b"".join(chunks)) == without_processes(render(snapshot))


# -- compared with what prometheus-client would have written ---------------------------------------------------------

names = st.text(max_size=8) | st.text(alphabet='\\"\n\r%{},= é\x85\u2028\U0001f600', max_size=8)
counts = st.integers(0, 3) | st.integers(0, 10**16)
sums = st.floats(min_value=0, allow_infinity=False)


def histogram(bounds: tuple[float, ...]) -> st.SearchStrategy[Histogram]:
    return st.builds(Histogram, st.lists(counts, min_size=len(bounds) + 1, max_size=len(bounds) + 1), sums)


series = st.builds(
    Series,
    names,
    st.just("") | names,
    names,
    counts,
    st.dictionaries(st.sampled_from([200, 404, 429, 499, 503]), counts),
    st.dictionaries(names, counts, max_size=3),
    histogram(DURATION_BOUNDS_S),
    histogram(TTFT_BOUNDS_S),
    histogram(TPOT_BOUNDS_S),
    histogram(OVERHEAD_BOUNDS_S),
    histogram(QUEUE_BOUNDS_S),
    *(counts, counts, counts, counts),
    sums,
)


def samples(families: Mapping[str, Family]) -> st.SearchStrategy[list[Sample]]:
    return st.lists(
        st.sampled_from(sorted(families)).flatmap(
            lambda name: st.builds(
                Sample, st.just(name), st.tuples(*(names for _ in families[name].labels)), st.floats() | counts
            )
        ),
        max_size=6,
    ).map(lambda found: sorted(found, key=lambda one: one.name))  # as those of every snapshot are


snapshots = st.builds(MetricsSnapshot, st.lists(series, max_size=3), samples(COUNTERS), samples(GAUGES))


def without_processes(text: bytes) -> str:
    kept = [line for line in text.decode().split("\n") if not re.match("(# (HELP|TYPE) )?process_", line)]
    return "\n".join(kept)


def meaning(text: str) -> list[list[tuple[str, str]]]:
    """By family: each line up to its value, byte for byte, and the value as a number; comments whole."""
    found: list[list[tuple[str, str]]] = []
    for line in text.removesuffix("\n").split("\n"):
        head, _, value = line.rpartition(" ")
        if line.startswith("# HELP"):
            found.append([])
        found[-1].append((line, "") if line.startswith("#") else (head, repr(float(value))))
    return sorted(found)


@given(snapshots)
@settings(deadline=None, max_examples=25)
def test_every_line_is_the_one_prometheus_client_would_write(snapshot: MetricsSnapshot) -> None:
    assert meaning(without_processes(render(snapshot))) == meaning(expected_text(snapshot))


def test_a_family_without_labels_has_no_braces() -> None:
    assert b"\npenstock_prompts_held_bytes 5.0\n" in render(
        MetricsSnapshot([], [], [Sample(PROMPTS_HELD.name, (), 5.0)])
    )


@given(names, names, names)
@settings(deadline=None)
def test_any_name_is_read_back_as_it_was(model: str, engine: str, kind: str) -> None:
    one = Series(model, engine, "")
    one.errors[kind] = 1
    assert values(MetricsSnapshot([one]), "penstock_errors_total") == [
        ({"model": model, "engine": engine, "kind": kind}, 1.0)
    ]


def test_a_name_forgotten_by_the_cache_is_written_again() -> None:
    first = MetricsSnapshot([Series("first", "llama", "")])
    before = without_processes(render(first))
    render(MetricsSnapshot([Series(f"m{number}", "llama", "") for number in range(CACHED_PAIRS + 1)]))
    assert without_processes(render(first)) == before
