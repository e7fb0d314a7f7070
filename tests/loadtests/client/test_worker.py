"""One worker: its share of the schedule, and the counts it reports while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.client.record import Record, RecordWriter, read_records
from loadtests.client.worker import Progress, Share, Tally
from loadtests.run.run import added
from loadtests.schedule.arrivals import Poisson
from loadtests.schedule.plan import Plan, parse_plan
from loadtests.statistics.columns import columns
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.slo import Slo
from tests.loadtests.statistics.made import MS, answered, failed

PLAN = Plan(target="http://127.0.0.1:1", model="m", arrivals=Poisson(rate_per_s=50.0), duration_s=4.0, seed=3)


def shares(workers: int) -> list[Share]:
    plan = parse_plan({**_plain(), "workers": workers})
    return [Share(plan, worker) for worker in range(workers)]


def _plain() -> dict[str, object]:
    return {
        "target": PLAN.target,
        "model": "m",
        "arrivals": {"kind": "poisson", "rate_per_s": 50.0},
        "duration_s": 4.0,
        "seed": 3,
    }


@pytest.mark.parametrize("workers", [1, 2, 4, 7])
def test_the_union_of_all_shares_is_the_schedule(workers: int) -> None:
    whole = PLAN.offsets().tolist()
    sent: dict[int, int] = {}
    for number, share in enumerate(shares(workers)):
        for place, offset in enumerate(share.offsets.tolist()):
            sent[number + place * workers] = offset
    assert whole == [sent[index] for index in range(len(whole))]
    assert len({share.ready.fingerprint for share in shares(workers)}) == 1


def test_a_request_is_the_same_whoever_sends_it() -> None:
    one = [shares(1)[0].ahead.next().body for _ in range(1)]
    four = shares(4)
    assert one[0] == four[0].ahead.next().body
    alone = shares(1)[0].ahead
    bodies = [alone.next().body for _ in range(8)]
    assert bodies == [four[0].workload.request(index).body for index in range(8)]


def tallied(records: list[Record], path: Path, slo: Slo) -> Tally:
    with RecordWriter(path) as writer:
        tally = Tally(writer, slo)
        for record in records:
            tally.take(record)
    return tally


def some_records() -> list[Record]:
    records = [answered(n, at_ms=n, ttft_ms=1 + n % 50, gaps=[MS, 2 * MS]) for n in range(300)]
    return [*records, failed(300), failed(301, "dropped"), failed(302, "timeout"), answered(303, tokens=None)]


def test_what_a_worker_counts_is_what_the_records_say(tmp_path: Path) -> None:
    slo = Slo(ttft_s=0.020)
    tally = tallied(some_records(), tmp_path / "r.jsonl", slo)
    run = columns(read_records(tmp_path / "r.jsonl"))
    assert (len(run), 3, int(slo.good(run).sum())) == (tally.done, tally.failed, tally.good)
    assert 11 * 300 == tally.tokens
    latency, errors = tally.last_second()
    assert {"dropped": 1, "http_500": 1, "timeout": 1} == errors
    assert (303, 301, 300, 600) == tuple(latency[name].count for name in ("send_lag", "ttft", "tpot", "chunk_gap"))
    assert sorted(run.ttft_response_s[run.ok])[150] == pytest.approx(latency["ttft"].percentile(50) / 1e9, rel=0.01)


def test_a_second_holds_only_what_ended_in_it_and_the_gaps_of_all_are_kept(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "r.jsonl") as writer:
        tally = Tally(writer, Slo())
        tally.take(answered(0, gaps=[MS]))
        first, _ = tally.last_second()
        tally.take(answered(1, gaps=[MS, MS]))
        second, _ = tally.last_second()
    assert (1, 2, 3) == (first["chunk_gap"].count, second["chunk_gap"].count, tally.chunk_gaps().count)


def test_one_example_of_each_kind_of_failure_is_kept(tmp_path: Path) -> None:
    records = [failed(n, kind, said=f"{kind} {n}") for n, kind in enumerate(("http_400", "http_429") * 3)]
    tallied(records, tmp_path / "r.jsonl", Slo())
    said = [record.said for record in read_records(tmp_path / "r.jsonl")]
    assert ["http_400 0", "http_429 1", "", "", "", ""] == said


def test_gaps_are_written_only_when_asked_for(tmp_path: Path) -> None:
    for keep in (False, True):
        with RecordWriter(tmp_path / "r.jsonl", keep_gaps=keep) as writer:
            writer.write(answered(0, gaps=[MS]))
        assert [[MS] if keep else []] == [record.gaps for record in read_records(tmp_path / "r.jsonl")]


def test_one_and_four_workers_have_the_same_percentiles_from_the_same_samples(tmp_path: Path) -> None:
    whole = tallied(some_records(), tmp_path / "whole", Slo()).last_second()[0]
    parts = []
    for worker in range(4):
        latency, errors = tallied(some_records()[worker::4], tmp_path / str(worker), Slo()).last_second()
        parts.append(
            Progress(t_s=1.0, latency={name: one.to_json() for name, one in latency.items()}, errors=errors, sent=1)
        )
    merged = added(parts)
    assert whole == {name: LogHistogram.from_json(data) for name, data in merged.latency.items()}
    assert (4, {"dropped": 1, "http_500": 1, "timeout": 1}) == (merged.sent, merged.errors)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration_s": 0}, "duration_s is 0"),
        ({"workers": 65}, "must be 1 to 64"),
        ({"users": 2, "workers": 3}, "cannot be shared by 3 workers"),
        ({"max_in_flight": 1, "workers": 2}, "at least 1 for each worker"),
        ({"timeoutt_s": 1}, "timeoutt_s"),
        ({"arrivals": {"kind": "poisson", "rate_per_s": -1}}, "rate is -1"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_in_one_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_plan({**_plain(), **change})


def test_a_key_is_named_in_the_plan_and_read_from_the_environment() -> None:
    plan = parse_plan({**_plain(), "api_key_env": "KEY"})
    assert {"authorization": "Bearer s3cret"} == plan.wire_headers({"KEY": "s3cret"})
    assert b"s3cret" not in plan.to_json()
    with pytest.raises(ValueError, match="KEY is not set"):
        plan.wire_headers({})


def test_a_number_that_all_share_is_shared_without_rest() -> None:
    for workers in (1, 3, 7):
        plan = parse_plan({**_plain(), "workers": workers})
        assert 100 == sum(plan.share(100, worker) for worker in range(workers))
