"""Whole runs: worker processes against a scripted server. Counts are exact; times are held against the server's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from loadtests.client.worker import Progress
from loadtests.report.json import read_report
from loadtests.run.outcome import report_of, write
from loadtests.run.run import Run, RunError, RunResult, execute, load_run
from loadtests.schedule.arrivals import Constant
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import columns
from loadtests.statistics.slo import Slo
from loadtests.statistics.spread import spread
from loadtests.workloads.spec import Sessions, Synthetic
from tests.loadtests import wire
from tests.loadtests.scripted import Scripted, Step, answer, scripted

pytestmark = pytest.mark.slow

SHORT = Synthetic(own_words=8, output_tokens=5)


def plan(server: Scripted, **changes: object) -> Plan:
    base = Plan(
        target=server.url,
        model="m",
        arrivals=Constant(rate_per_s=100.0),
        duration_s=0.3,
        drain_s=5.0,
        workload_spec=SHORT,
    )
    return msgspec.structs.replace(base, **changes)


def faulty(number: int, body: bytes) -> list[Step]:
    """Of ten requests: one refused, one cut off, one with an error in the stream; seven whole."""
    match number % 10:
        case 3:
            return [Step(wire.plain({"error": "x"}, "429 Too Many Requests", {"retry-after": "1"}))]
        case 5:
            return [Step(wire.head("200 OK", "text/event-stream", 10_000) + wire.ROLE + wire.delta(content="a"))]
        case 7:
            error = wire.event({"error": {"message": "no"}})
            return [Step(wire.head() + wire.chunked(wire.ROLE + error + wire.DONE) + wire.chunked(b""))]
        case _:
            return answer(["x", "y", "z"], tokens=9)


def test_every_count_of_a_run_is_the_scripts(tmp_path: Path) -> None:
    with scripted(faulty) as server:
        result = execute(plan(server, timeout_s=3.0, slo=Slo(e2e_s=30.0)), tmp_path)
        bodies = server.bodies
    report = report_of(result)
    summary = report.summary
    assert (30, 30, len(bodies)) == (summary.scheduled, len(result.records), 30)
    assert {"http_429": 3, "in_stream": 3, "timeout": 3} == summary.errors
    assert {"200": 27, "429": 3} == summary.statuses
    assert (21, 21 * 9, 0) == (summary.answered, summary.tokens.completion, summary.tokens.unknown)
    assert (21, 30) == (summary.attainment.good, summary.attainment.total)
    assert summary.chunk_gap is not None
    assert 21 * 2 == summary.chunk_gap.count
    assert [1.0] * 3 == [record.retry_after_s for record in result.records if record.status == 429]
    assert 30 == len({msgspec.json.decode(body)["messages"][0]["content"] for body in bodies})


def by_record(server: Scripted, result: RunResult) -> list[list[int]]:
    """The server's own times for each record: two requests that leave together may arrive in either order."""
    sent_ns = dict(zip(server.bodies, server.sent_ns, strict=True))
    workload = result.plan.make_workload()
    return [sent_ns[workload.request(record.index).body] for record in result.records]


def test_times_are_those_of_the_servers_own_record(tmp_path: Path) -> None:
    with scripted() as server:
        result = execute(plan(server, arrivals=Constant(rate_per_s=20.0)), tmp_path)
        sent_ns = by_record(server, result)
    assert 6 == len(result.records)
    for record, steps in zip(result.records, sent_ns, strict=True):
        # Role, three contents, the end: nothing is seen before it was sent.
        assert record.ti <= record.ts <= steps[0]
        assert steps[1] <= record.c1 <= record.ck <= record.te
        assert steps[3] <= record.ck
        assert steps[4] <= record.te
        assert (3, 5, "") == (record.chunks, record.tokens, record.error)


def offsets(result: RunResult) -> dict[int, int]:
    return {record.index: record.ti - result.started_ns for record in result.records}


def test_one_and_four_workers_send_the_same_schedule_and_the_same_requests(tmp_path: Path) -> None:
    found = []
    for workers in (1, 4):
        with scripted() as server:
            result = execute(plan(server, workers=workers), tmp_path / str(workers))
            found.append((offsets(result), sorted(server.bodies), [worker.sent for worker in result.workers]))
    assert found[0][:2] == found[1][:2]
    assert ([30], [8, 8, 7, 7]) == (found[0][2], found[1][2])


def test_a_conversation_sends_back_the_answers_it_got(tmp_path: Path) -> None:
    chats = Sessions(turns=3, own_words=8, output_tokens=5, think_ms=1)
    with scripted() as server:
        changes = {"workload_spec": chats, "arrivals": Constant(rate_per_s=10.0), "duration_s": 0.5}
        result = execute(plan(server, **changes), tmp_path)
        bodies = [msgspec.json.decode(body)["messages"] for body in server.bodies]
    assert {f"s{n}": 3 for n in range(5)} == Counter(record.session for record in result.records)
    assert {1, 3, 5} == {len(messages) for messages in bodies}
    said = [message for messages in bodies for message in messages if message["role"] == "assistant"]
    assert {"abc"} == {message["content"] for message in said}


def test_a_closed_loop_never_has_more_under_way_than_users(tmp_path: Path) -> None:
    with scripted() as server:
        result = execute(plan(server, users=4, workers=2, duration_s=0.2), tmp_path)
    assert {2} == {len({record.index % 2 for record in result.records})}
    stamps = sorted([(r.ts, 1) for r in result.records] + [(r.te, -1) for r in result.records])
    level = most = 0
    for _, change in stamps:
        level += change
        most = max(most, level)
    assert 4 == most


def test_a_run_is_reported_again_from_its_directory(tmp_path: Path) -> None:
    with scripted() as server:
        result = execute(plan(server), tmp_path)
    report = report_of(result, created="then")
    write(report, tmp_path)
    assert report == report_of(load_run(tmp_path), created="then")
    assert report == read_report(tmp_path / "report.json")
    with pytest.raises(ValueError, match="holds no run"):
        load_run(tmp_path / "nowhere")


def test_a_run_that_is_stopped_keeps_what_it_has_and_sends_no_more(tmp_path: Path) -> None:
    with scripted() as server:
        run = Run(plan(server, duration_s=600.0, workers=2), tmp_path)
        seen: list[Progress] = []

        def on_progress(progress: Progress) -> None:
            seen.append(progress)
            run.stop()

        result = asyncio.run(run.execute(on_progress))
    assert result.stopped
    assert result.ran_s < 600
    assert len(result.records) == sum(worker.sent for worker in result.workers) >= seen[0].sent > 0
    assert {"", "unfinished"} >= {record.error for record in result.records}
    report = report_of(result)
    assert report.duration_s == result.ran_s


def test_a_plan_that_no_worker_can_run_fails_with_the_workers_words(tmp_path: Path) -> None:
    with scripted() as server:
        broken = plan(server, workload_spec=None, workload="nonsense.yaml")
        with pytest.raises(RunError, match=r"worker 0: workload nonsense\.yaml: No such file"):
            execute(broken, tmp_path)


def test_the_workers_of_a_plan_that_needs_a_key_say_that_it_is_missing(tmp_path: Path) -> None:
    with scripted() as server, pytest.raises(RunError, match="NO_SUCH_KEY is not set"):
        execute(plan(server, api_key_env="NO_SUCH_KEY"), tmp_path)


@pytest.mark.timing
def test_a_stall_of_one_second_in_five_shows_in_the_p99(tmp_path: Path) -> None:
    begun: list[float] = []

    def stalls(number: int, body: bytes) -> list[Step]:
        """Requests of the third second wait for its end."""
        loop = asyncio.get_running_loop()
        begun.append(loop.time())
        at_s = loop.time() - begun[0]
        wait_s = 3.0 - at_s if 2.0 <= at_s < 3.0 else 0.0
        return [Step(wire.head() + wire.chunked(wire.ROLE), wait_s), *answer()[1:]]

    with scripted(stalls) as server:
        result = execute(plan(server, duration_s=5.0), tmp_path)
    measured = spread(columns(result.records).ttft_response_s)
    assert measured is not None
    assert 500 == measured.count
    assert measured.at(0.99) >= 0.9
    assert measured.at(0.5) < 0.1


@pytest.mark.timing
def test_times_agree_with_the_servers_record_within_milliseconds(tmp_path: Path) -> None:
    with scripted(lambda number, body: answer(["a", "b", "c", "d"], tokens=7, gap_s=0.02)) as server:
        result = execute(plan(server, arrivals=Constant(rate_per_s=20.0), duration_s=2.0), tmp_path)
        sent_ns = by_record(server, result)
    late_ns = []
    for record, steps in zip(result.records, sent_ns, strict=True):
        late_ns += [record.c1 - steps[1], record.ck - steps[4], record.te - steps[5]]
    late_ns.sort()
    assert late_ns[len(late_ns) // 2] < 1_000_000
    assert late_ns[int(len(late_ns) * 0.95)] < 10_000_000
