from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from loadtests.calibration import floor, limits
from loadtests.run.facts import arrivals, facts, title, workload
from loadtests.run.run import execute, load_run
from loadtests.schedule.arrivals import Constant, Gamma, Mmpp, Poisson, Ramp
from loadtests.schedule.plan import Plan
from loadtests.workloads.workload import named, read_spec
from tests.loadtests.scripted import scripted

PLAN = Plan(target="http://127.0.0.1:1", model="m", seed=9, workers=2, cores=(0, 1))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (Constant(rate_per_s=5.0), "5 requests/s, evenly spaced"),
        (Poisson(rate_per_s=2.5), "2.5 requests/s, Poisson"),
        (Gamma(rate_per_s=5.0, cv=3.0), "5 requests/s, gamma gaps with cv 3"),
        (Mmpp(rate_per_s=10.0), "10 requests/s on average: 50/s for about 2 s, 0/s for about 8 s, in turns"),
        (Ramp(points=((0.0, 1.0), (30.0, 10.0))), "ramp of 1/s at 0 s, 10/s at 30 s"),
    ],
)
def test_a_schedule_is_told_in_words(spec: Any, said: str) -> None:
    assert said == arrivals(spec)


def test_the_facts_hold_what_is_needed_to_run_it_again() -> None:
    said = facts(replace(PLAN, users=4, think_s=1.5))
    assert ("9", "4 closed-loop users with 1.5 s of thought", "at most 4") == (
        said["Seed"],
        said["Load"],
        said["In flight"],
    )
    assert "2 workers on cores 0, 1" == facts(PLAN)["Client"]
    assert "m, 10 requests/s, Poisson" == title(PLAN)


def test_a_key_is_not_among_the_facts() -> None:
    plan = replace(PLAN, headers={"authorization": "Bearer s3cret"}, api_key_env="KEY")
    assert "s3cret" not in str(facts(plan))


@pytest.mark.parametrize("name", named())
def test_every_named_workload_is_told_in_words(name: str) -> None:
    assert len(workload(read_spec(name))) > 8


def test_the_floor_is_what_the_client_sees_of_a_server_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "LATENCY_S", 0.2)
    monkeypatch.setattr(floor, "CAPACITY_S", 0.2)
    found = floor.measure_floor()
    assert 0 < found.ttft_p50_s <= found.ttft_p99_s
    assert found.chunk_gap_p50_s is not None
    assert found.events_per_s is not None
    assert found.requests_per_s is not None
    assert pytest.approx(found.events_per_s) == 100 * found.requests_per_s


def test_a_lengthened_run_has_the_records_of_the_short_one_at_new_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONG_S", 2.0)
    with scripted() as server:
        plan = replace(PLAN, target=server.url, workers=1, cores=(), arrivals=Constant(rate_per_s=50.0), duration_s=0.2)
        short = execute(plan, tmp_path)
    assert 2000 == limits.lengthen(short, tmp_path)
    long = load_run(tmp_path)
    assert 2000 == len(long.records) == len({record.index for record in long.records})
    assert [n * 1_000_000 for n in range(2000)] == [record.ti - long.started_ns for record in long.records]
    assert {record.te - record.ti for record in short.records} == {record.te - record.ti for record in long.records}
