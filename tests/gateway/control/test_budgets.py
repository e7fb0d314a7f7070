"""No dollar is forgotten: of before the start, and of workers that are gone."""

from __future__ import annotations

import pytest

from gateway import clock
from gateway.accounts.spending import Spending
from gateway.control.budgets import Budgets
from gateway.telemetry.metrics import Accumulator, Metrics
from gateway.telemetry.metrics.families.spending import SPENT

NOW_S = 1_780_000_000.0


@pytest.fixture(autouse=True)
def _wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.SOURCES, "wall", lambda: NOW_S)


def worker_of(usd: float) -> Metrics:
    """The metrics of a worker whose one key has spent so much."""
    metrics, spending = Metrics(()), Spending()
    spending.add("app", "shop", usd, usd, NOW_S)
    metrics.watch(SPENT, lambda: spending.reading(NOW_S))
    return metrics


def spent(board: Accumulator, own: Metrics) -> dict[tuple[str, ...], float]:
    return {one.labels: one.value for one in board.total(own.snapshot()).gauges if one.name == SPENT.name}


def test_what_the_store_knew_and_what_workers_count_is_one_sum() -> None:
    own, board = Metrics(()), Accumulator()
    budgets = Budgets(own)
    budgets.seed([("app", "shop", 1.0, 10.0), ("lab", "shop", 0.0, 5.0)])
    for name, usd in (("1", 0.25), ("2", 0.5)):
        board.update(name, worker_of(usd).snapshot())
    assert spent(board, own) == {
        ("app", "shop", "day"): 1.75,
        ("app", "shop", "month"): 10.75,
        ("lab", "shop", "day"): 0.0,
        ("lab", "shop", "month"): 5.0,
    }


def test_a_worker_that_is_gone_leaves_what_its_keys_have_spent() -> None:
    own, board = Metrics(()), Accumulator()
    budgets = Budgets(own)
    for name, usd in (("1", 0.25), ("2", 0.5)):
        board.update(name, worker_of(usd).snapshot())
    before = spent(board, own)
    budgets.inherit(board.gauges("1"))
    board.departed("1")
    assert spent(board, own) == before == {("app", "shop", "day"): 0.75, ("app", "shop", "month"): 0.75}
    assert board.gauges("1") == []
