"""The laws of counting: exact buckets, bounded labels, and a merge that does not care how the work was split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Usage
from gateway.telemetry.metrics import Accumulator, Metrics, MetricsSnapshot, Reading, Sample, emptying, merge
from gateway.telemetry.metrics.families.admission import QUEUE_TOKENS, SHED
from gateway.telemetry.metrics.families.configuration import CONFIG_RELOADS
from gateway.telemetry.metrics.families.loops import LOOP_AGE, LOOP_RESTARTS
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED
from gateway.telemetry.metrics.families.replicas import BREAKER_OPEN, REPLICAS
from gateway.telemetry.metrics.families.retries import FALLBACKS, RETRIES
from gateway.telemetry.metrics.series import DURATION_BOUNDS_S, OVERHEAD_BOUNDS_S, TPOT_BOUNDS_S, TTFT_BOUNDS_S
from gateway.telemetry.metrics.snapshot import AT_ONCE, merging

MODELS = ("chat", "code")


def constant(*readings: tuple[tuple[str, ...], float]) -> Any:
    def read() -> Reading:
        return readings

    return read


def test_a_settled_request_is_counted_once_everywhere() -> None:
    metrics = Metrics(MODELS)
    series = metrics.series("chat", "llama", "canary")
    series.settle(200, 1.5, 0.25, 0.03, 0.0002, Usage(100, 20, cached_tokens=60, reasoning_tokens=5), 0.125)
    assert series.codes == {200: 1}
    assert series.duration.counts == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert series.duration.sum == 1.5
    assert series.ttft.counts.index(1) == TTFT_BOUNDS_S.index(0.25)
    assert series.tpot.counts.index(1) == TPOT_BOUNDS_S.index(0.05)
    assert series.overhead.counts.index(1) == OVERHEAD_BOUNDS_S.index(0.00025)
    assert (series.input_tokens, series.cached_tokens, series.output_tokens, series.reasoning_tokens) == (
        100,
        60,
        20,
        5,
    )
    assert series.cost_usd == 0.125


def test_what_is_not_known_is_counted_nowhere() -> None:
    series = Metrics(MODELS).series("chat")
    series.settle(404, 0.001)
    assert series.codes == {200: 0, 404: 1}
    assert [sum(h.counts) for h in (series.duration, series.ttft, series.tpot, series.overhead)] == [1, 0, 0, 0]
    assert (series.input_tokens, series.cost_usd) == (0, 0.0)


durations = st.floats(min_value=0, max_value=1000, allow_nan=False)
bounds_of_all = st.sampled_from([*DURATION_BOUNDS_S, *TTFT_BOUNDS_S, *TPOT_BOUNDS_S, *OVERHEAD_BOUNDS_S])


@given(st.lists(durations | bounds_of_all, max_size=8))
@settings(deadline=None)
def test_each_value_falls_into_the_first_bucket_whose_bound_is_not_below_it(values: list[float]) -> None:
    series = Metrics(MODELS).series("chat")
    for value in values:
        series.settle(200, value, value, value, value)
    for histogram, bounds in (
        (series.duration, DURATION_BOUNDS_S),
        (series.ttft, TTFT_BOUNDS_S),
        (series.tpot, TPOT_BOUNDS_S),
        (series.overhead, OVERHEAD_BOUNDS_S),
    ):
        slots = [next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds)) for value in values]
        assert histogram.counts == [slots.count(i) for i in range(len(bounds) + 1)]
        assert histogram.sum == pytest.approx(sum(values))


def test_bounds_rise() -> None:
    for bounds in (DURATION_BOUNDS_S, TTFT_BOUNDS_S, TPOT_BOUNDS_S, OVERHEAD_BOUNDS_S):
        assert list(bounds) == sorted(set(bounds))


def test_the_same_labels_are_the_same_series() -> None:
    metrics = Metrics(MODELS)
    assert metrics.series("chat", "llama", "a") is metrics.series("chat", "llama", "a")


def test_unconfigured_models_share_the_label_other() -> None:
    metrics = Metrics(MODELS)
    assert metrics.series("gpt-9000") is metrics.series("")
    assert metrics.series("gpt-9000").model == "other"
    metrics.count(SHED, "gpt-9000", "queue_full")
    metrics.count(FALLBACKS, "gpt-9000", "llama", "openai")
    assert metrics.snapshot().counters == [
        Sample("penstock_fallbacks_total", ("other", "llama", "openai"), 1),
        Sample("penstock_shed_total", ("other", "queue_full"), 1),
    ]


def test_a_model_that_a_reload_adds_gets_its_own_label() -> None:
    metrics = Metrics(MODELS)
    metrics.models = frozenset({"new"})
    assert (metrics.series("new").model, metrics.series("chat").model) == ("new", "other")


def test_each_counter_carries_its_labels() -> None:
    metrics = Metrics(MODELS)
    metrics.count(RETRIES, "llama", "connect_failed")
    metrics.count(RETRIES, "llama", "connect_failed")
    metrics.count(CONFIG_RELOADS, "refused")
    metrics.count(RECORDS_DROPPED, "access_log", by=7)
    assert metrics.snapshot().counters == [
        Sample("penstock_config_reloads_total", ("refused",), 1),
        Sample("penstock_records_dropped_total", ("access_log",), 7),
        Sample("penstock_retries_total", ("llama", "connect_failed"), 2),
    ]


def test_gauges_are_read_at_the_snapshot() -> None:
    metrics = Metrics(MODELS)
    state = {"r1": 1.0, "r2": 0.0}
    metrics.watch(BREAKER_OPEN, lambda: [(("llama", replica), value) for replica, value in state.items()])
    assert [sample.value for sample in metrics.snapshot().gauges] == [1.0, 0.0]
    del state["r1"]
    assert metrics.snapshot().gauges == [Sample(BREAKER_OPEN.name, ("llama", "r2"), 0.0)]


def test_a_counter_is_no_gauge_and_labels_that_do_not_fit_are_refused_at_once() -> None:
    metrics = Metrics(MODELS)
    with pytest.raises(ValueError, match="penstock_retries_total"):
        metrics.watch(RETRIES, constant())
    with pytest.raises(ValueError, match="zip"):
        metrics.count(RETRIES, "llama")


def test_a_gauge_is_no_counter() -> None:
    metrics = Metrics(MODELS)
    with pytest.raises(ValueError, match="penstock_loop_last_success_age_seconds is a gauge"):
        metrics.watch_counts(LOOP_AGE, constant())


def test_a_count_that_somebody_else_keeps_is_read_at_the_snapshot() -> None:
    metrics = Metrics(MODELS)
    dropped = [0]
    metrics.watch_count(RECORDS_DROPPED, ("access_log",), lambda: dropped[0])
    assert metrics.snapshot().counters == [Sample(RECORDS_DROPPED.name, ("access_log",), 0)]
    dropped[0] = 4
    metrics.count(RECORDS_DROPPED, "access_log", by=3)
    assert metrics.snapshot().counters == [Sample(RECORDS_DROPPED.name, ("access_log",), 7)]


def test_counts_whose_labels_come_later_are_read_at_the_snapshot() -> None:
    metrics = Metrics(MODELS)
    restarts = {"health": 0}
    metrics.watch_counts(LOOP_RESTARTS, lambda: [((loop,), n) for loop, n in restarts.items()])
    assert metrics.snapshot().counters == [Sample(LOOP_RESTARTS.name, ("health",), 0)]
    restarts.update(health=2, prices=1)
    assert metrics.snapshot().counters == [
        Sample(LOOP_RESTARTS.name, ("health",), 2),
        Sample(LOOP_RESTARTS.name, ("prices",), 1),
    ]


def test_gauges_of_workers_combine_by_their_meaning() -> None:
    snapshots = []
    for value in (1.0, 3.0, 2.0):
        metrics = Metrics(MODELS)
        metrics.watch(BREAKER_OPEN, constant((("llama", "r1"), float(value == 3.0))))
        metrics.watch(QUEUE_TOKENS, constant((("chat",), value)))
        metrics.watch(REPLICAS, constant((("llama", "up"), value)))
        metrics.watch(LOOP_AGE, constant((("health",), value)))
        metrics.series("chat", "llama").in_flight = int(value)
        snapshots.append(metrics.snapshot())
    merged = merge(snapshots)
    assert {sample.name: sample.value for sample in merged.gauges} == {
        BREAKER_OPEN.name: 1.0,
        QUEUE_TOKENS.name: 6.0,
        REPLICAS.name: 3.0,
        LOOP_AGE.name: 3.0,
    }
    assert merged.series[0].in_flight == 6


def test_a_snapshot_does_not_change_afterwards() -> None:
    metrics = Metrics(MODELS)
    series = metrics.series("chat", "llama")
    series.settle(200, 1.0)
    taken = metrics.snapshot()
    before = msgspec.json.encode(taken)
    series.settle(500, 2.0, 1.0, 1.0, 1.0, Usage(1, 1), 1.0)
    series.error("engine_error")
    series.in_flight += 1
    assert msgspec.json.encode(taken) == before


def test_a_merge_leaves_its_parts_alone() -> None:
    metrics = Metrics(MODELS)
    metrics.series("chat", "llama").settle(200, 1.0)
    part = metrics.snapshot()
    before = msgspec.json.encode(part)
    merge([part, part])
    assert msgspec.json.encode(part) == before


# Sums of dyadic fractions are exact in floating point, so that the laws below can be asserted with ==.
_seconds = st.integers(0, 1 << 20).map(lambda n: n / 1024)
_usages = st.builds(
    Usage, st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 99), st.just(0), st.integers(0, 9)
)
_events = st.lists(
    st.one_of(
        st.tuples(
            st.just("settle"),
            st.sampled_from(["chat", "code", "mystery"]),
            st.sampled_from(["llama", "openai", ""]),
            st.sampled_from([200, 429, 499]),
            st.tuples(_seconds, st.none() | _seconds, st.none() | _seconds, st.none() | _seconds),
            st.none() | _usages,
            st.none() | _seconds,
        ),
        st.tuples(st.just("error"), st.sampled_from(["timeout", "connect_failed"])),
        st.tuples(st.just("retry"), st.sampled_from(["timeout", "connect_failed"])),
        st.tuples(st.just("dropped"), st.integers(1, 5)),
        st.tuples(st.just("begin")),
    ),
    max_size=30,
)


def _apply(metrics: Metrics, events: Iterable[tuple[Any, ...]]) -> MetricsSnapshot:
    for name, *rest in events:
        if name == "settle":
            model, engine, code, (duration, ttft, tpot, overhead), usage, cost = rest
            metrics.series(model, engine, "").settle(code, duration, ttft, tpot, overhead, usage, cost)
        elif name == "error":
            metrics.series("chat", "llama").error(rest[0])
        elif name == "retry":
            metrics.count(RETRIES, "llama", rest[0])
        elif name == "dropped":
            metrics.count(RECORDS_DROPPED, "spans", by=rest[0])
        else:
            metrics.series("code", "llama").in_flight += 1
    return metrics.snapshot()


@given(st.lists(_events, min_size=1, max_size=4))
@settings(deadline=None)
def test_workers_together_equal_one_worker_that_saw_all(shards: list[list[tuple[Any, ...]]]) -> None:
    one = _apply(Metrics(MODELS), [event for shard in shards for event in shard])
    assert merge(_apply(Metrics(MODELS), shard) for shard in shards) == one


@given(_events, _events, _events)
@settings(deadline=None)
def test_merge_is_associative_and_commutative(
    first: list[tuple[Any, ...]], second: list[tuple[Any, ...]], third: list[tuple[Any, ...]]
) -> None:
    a, b, c = (_apply(Metrics(MODELS), shard) for shard in (first, second, third))
    assert merge([merge([a, b]), c]) == merge([a, merge([b, c])]) == merge([c, b, a])
    assert merge([a]) == a


@given(_events)
@settings(deadline=None)
def test_a_snapshot_survives_msgpack_and_json(events: list[tuple[Any, ...]]) -> None:
    snapshot = _apply(Metrics(MODELS), events)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=MetricsSnapshot) == snapshot
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=MetricsSnapshot) == snapshot


def test_counters_do_not_go_backwards_when_a_worker_is_replaced() -> None:
    total = Accumulator()
    first = Metrics(MODELS)
    first.series("chat", "llama").settle(200, 1.0)
    first.series("chat", "llama").in_flight = 3
    first.count(RETRIES, "llama", "timeout")
    first.watch(BREAKER_OPEN, constant((("llama", "r1"), 1.0)))
    total.update("worker-1", first.snapshot())
    total.departed("worker-1")
    second = Metrics(MODELS)
    second.series("chat", "llama").settle(200, 1.0)
    total.update("worker-2", second.snapshot())
    merged = total.total()
    assert merged.series[0].codes == {200: 2}
    assert merged.series[0].in_flight == 0
    assert merged.counters == [Sample("penstock_retries_total", ("llama", "timeout"), 1)]
    assert merged.gauges == []


def test_only_the_latest_snapshot_of_a_worker_counts() -> None:
    total = Accumulator()
    metrics = Metrics(MODELS)
    for _ in range(3):
        metrics.series("chat", "llama").settle(200, 1.0)
        total.update("worker-1", metrics.snapshot())
    parent = Metrics(MODELS)
    parent.count(CONFIG_RELOADS, "applied")
    merged = total.total(parent.snapshot())
    assert merged.series[0].codes == {200: 3}
    assert merged.counters == [Sample("penstock_config_reloads_total", ("applied",), 1)]


def test_a_worker_that_never_reported_may_depart() -> None:
    total = Accumulator()
    total.departed("worker-9")
    assert total.total() == MetricsSnapshot()


def test_samples_of_a_fleet_are_read_added_and_let_go_of_a_few_at_a_time() -> None:
    made = 0

    def read() -> Iterator[tuple[tuple[str, str], float]]:
        nonlocal made
        for at in range(5_000):
            made += 1
            yield (f"e{at % 50}", f"r{at}"), float(at)

    def largest(steps: Iterator[object]) -> int:
        most, before = 0, made
        for _ in steps:
            most, before = max(most, made - before), made
        return most

    metrics = Metrics(())
    metrics.watch(BREAKER_OPEN, read)
    assert largest(metrics.reading()) == AT_ONCE
    snapshot = metrics.snapshot()
    assert snapshot.gauges == sorted(snapshot.gauges, key=lambda one: one.labels)
    assert len(snapshot.gauges) == 5_000
    assert len(list(merging([snapshot]))) > 5_000 // AT_ONCE
    assert merge([snapshot]) == snapshot
    assert len(list(emptying(snapshot))) == -(-5_000 // AT_ONCE)
    assert snapshot.gauges == []
