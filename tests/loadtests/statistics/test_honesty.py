from __future__ import annotations

from collections.abc import Sequence

import pytest

from loadtests.client.record import Record
from loadtests.statistics.columns import columns
from loadtests.statistics.honesty import Floor, Honesty, WorkerLoad, examine
from tests.loadtests.statistics.made import STARTED_NS, answered, failed

CALM = WorkerLoad(0, [0.2] * 10, 0.001)


def judged(records: Sequence[Record], workers: Sequence[WorkerLoad] = (CALM,), floor: Floor | None = None) -> Honesty:
    return examine(columns(records), STARTED_NS, 1.0, open_loop=True, workers=workers, floor=floor)


def run(count: int = 200, lag_ms: float = 0.1) -> list[Record]:
    return [answered(n, at_ms=n * 1000 / count, lag_ms=lag_ms) for n in range(count)]


def test_a_run_sent_on_time_by_a_calm_client_is_valid() -> None:
    honesty = judged(run())
    assert ("VALID", 0, [], 200.0, 200.0) == (
        honesty.verdict,
        honesty.exit_code,
        honesty.reasons,
        honesty.offered_per_s,
        honesty.achieved_per_s,
    )


def test_late_sends_make_it_invalid_with_exit_status_3() -> None:
    honesty = judged(run(lag_ms=5.5))
    assert ("INVALID", 3) == (honesty.verdict, honesty.exit_code)
    assert ["client-bound: send lag p99 5.5 ms is above 5 ms"] == honesty.reasons


def test_two_late_sends_in_two_hundred_are_forgiven_and_three_are_not() -> None:
    late = [answered(n, at_ms=n, lag_ms=50) for n in range(3)]
    assert [True, False] == [judged(run(200)[few:] + late[:few]).valid for few in (2, 3)]


def test_a_busy_client_makes_it_invalid() -> None:
    honesty = judged(run(), [CALM, WorkerLoad(1, [0.9] * 10)])
    assert ["client-bound: worker 1 used 90 % of a core (95th percentile of seconds), above 85 %"] == honesty.reasons


def test_load_that_was_not_delivered_makes_it_invalid() -> None:
    records = run(200)[3:] + [failed(n, "dropped", at_ms=n) for n in range(3)]
    honesty = judged(records)
    assert (3, 197) == (honesty.drops, honesty.sent)
    assert ["load not delivered: 197 of 200 scheduled requests were sent in time (98.5 %, below 99 %; 3 dropped by the"
            " client)"] == honesty.reasons  # fmt: skip


def test_a_client_without_descriptors_or_ports_makes_it_invalid() -> None:
    honesty = judged([*run(200), failed(200, "client_limit", at_ms=3)])
    assert 3 == honesty.exit_code
    assert ["client-bound: 1 requests found no descriptor or port left on this machine"] == honesty.reasons


def test_a_slow_target_does_not_make_the_client_dishonest() -> None:
    assert judged([failed(n, "timeout", at_ms=n) for n in range(500)]).valid


def test_a_floor_near_the_measured_median_is_a_warning() -> None:
    floor = Floor(ttft_p50_s=0.006, ttft_p99_s=0.009)
    assert any("floor (6.00 ms) is 60 %" in warning for warning in judged(run(), floor=floor).warnings)
    assert not any("is 60 %" in warning for warning in judged(run()).warnings)


def test_a_closed_loop_offers_no_rate() -> None:
    honesty = examine(columns(run()), STARTED_NS, 1.0, open_loop=False, workers=[CALM])
    assert (None, None, True) == (honesty.offered_per_s, honesty.achieved_ratio, honesty.valid)


def test_a_run_of_nothing_is_not_valid() -> None:
    assert ["no request was scheduled"] == judged([]).reasons


def test_send_lag_is_of_what_was_sent() -> None:
    honesty = judged([*run(100), failed(100, "dropped")])
    assert honesty.send_lag is not None
    assert 100 == honesty.send_lag.count
    assert pytest.approx(0.0001) == honesty.send_lag.at(0.99)
