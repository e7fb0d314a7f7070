"""What Locust's page shows: the numbers of a run, added up from its workers."""

from __future__ import annotations

from loadtests.client.worker import Progress
from loadtests.locust.board import Board
from loadtests.report.units import NBSP
from loadtests.statistics.histogram import LogHistogram

MS = 1_000_000


def progress(worker: int, t_s: float, sent: int, ttft_ms: list[int], lag_us: int = 100, cpu: float = 0.2) -> Progress:
    ttft, lag = LogHistogram(), LogHistogram()
    ttft.extend([value * MS for value in ttft_ms])
    lag.add(lag_us * 1000, 10)
    return Progress(
        worker=worker,
        t_s=t_s,
        sent=sent,
        done=sent,
        failed=1,
        good=sent - 1,
        tokens=100,
        cpu_ratio=cpu,
        latency={"ttft": ttft.to_json(), "send_lag": lag.to_json()},
        errors={"http_500": 1},
    )


def cells(rows: list[dict[str, str]], name: str) -> dict[str, str]:
    return {field: value.replace(NBSP, " ") for row in rows if row["name"] == name for field, value in row.items()}


def test_counts_are_the_latest_of_each_worker_and_latencies_are_added_up() -> None:
    board = Board("ttft=1s", scheduled=30)
    for report in (progress(0, 1, 5, [10]), progress(0, 2, 10, [10]), progress(1, 2, 20, [40, 40])):
        board.take(report)
    assert (30, 2.0) == (board.total("sent"), board.elapsed_s)
    row = cells(board.latency(), "TTFT, from intended send")
    assert ("4", "25.0 ms", "40.0 ms") == (row["count"], row["mean"], row["max"])
    assert ("3", "2") == (
        cells(board.goodput(), "Failed: http_500")["value"],
        cells(board.goodput(), "Failed")["value"],
    )
    assert "93.3 %" in cells(board.goodput(), "Attainment")["value"]
    assert "ttft=1s" == cells(board.goodput(), "Attainment")["limit"]


def test_percentiles_of_two_workers_are_those_of_one_with_all_samples() -> None:
    values = [n % 97 + 1 for n in range(400)]
    one, two = Board(), Board()
    one.take(progress(0, 1, 400, values))
    two.take(progress(0, 1, 200, values[::2]))
    two.take(progress(1, 1, 200, values[1::2]))
    assert one.latency() == two.latency()


def test_a_late_or_busy_client_and_a_load_that_was_not_sent_are_invalid() -> None:
    late, busy, short = Board(), Board(), Board(scheduled=100)
    late.take(progress(0, 1, 10, [10], lag_us=6000))
    busy.take(progress(0, 1, 10, [10], cpu=0.9))
    short.take(progress(0, 1, 98, [10]))
    assert [True, True, False] == [bool(board.reasons()) for board in (late, busy, short)]
    short.over = True
    assert ["load not delivered: 98 of 100 requests were sent"] == short.reasons()
    starved = Board()
    starved.errors["client_limit"] = 2
    assert ["client-bound: 2 requests found no descriptor or port"] == starved.reasons()
    assert cells(late.honesty(), "Verdict")["value"].startswith("INVALID: client-bound: send lag p99 6")


def test_a_board_without_reports_has_tables_too() -> None:
    assert "VALID so far" in Board().text()
