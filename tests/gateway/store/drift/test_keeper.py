"""Hours are summed up from records once they are over, judged and told with their cause; a restart changes nothing."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.drift_page import page
from gateway.store.database.port import DatabaseAway
from gateway.store.database.sqlite import Sqlite
from gateway.store.drift.keeper import GRACE_S, DriftKeeper
from gateway.store.drift.table import DriftTable
from tests.gateway.store.records import Made, sqlite_url

HOUR_S = 3600
FIRST = 494_444
"""A Unix hour."""
REQUESTS = 110


class Clock:
    def __init__(self, hour: int) -> None:
        self.at_s = hour * HOUR_S + GRACE_S

    def __call__(self) -> float:
        return self.at_s


class Store:
    """A store with hours of a model's traffic."""

    def __init__(self, directory: Path) -> None:
        self.url = sqlite_url(directory)
        self._database = Sqlite(self.url)
        self._made = Made()
        self._rng = random.Random(1)

    def hours(self, hours: range, *, shift: float = 0.0, requests: int = REQUESTS, **changes: Any) -> None:
        """Answers with lengths that are lognormal."""
        for hour in hours:
            for at in range(requests):
                tokens = max(1, round(math.exp(self._rng.gauss(5.0 + shift, 1.0))))
                self._made.one(hour * HOUR_S + at * 30, output_tokens=tokens, ttft_ms=tokens / 7, **changes)
        self._database.insert([self._records()])

    def _records(self) -> Any:
        from gateway.store.database.port import Records

        records, self._made.all = self._made.all, []
        return Records(self._made.run, records)

    def close(self) -> None:
        self._database.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A week; then an hour like it; then one of another model behind the same name."""
    made = Store(tmp_path_factory.mktemp("store"))
    made.hours(range(FIRST, FIRST + 169), response_model="gpt-1")
    made.hours(range(FIRST + 169, FIRST + 170), shift=0.9, response_model="gpt-2")
    yield made
    made.close()


def kept(keeper: DriftKeeper) -> dict[str, Any]:
    """What it says once there is nothing more to do."""
    while keeper.step():
        pass
    report: dict[str, Any] = json.loads(keeper.report)
    return report


def entry_of(report: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    (entry,) = report["data"]
    return entry, {one["signal"]: one for one in entry["signals"]}


@pytest.mark.store  # it writes a week of records
def test_hours_are_summed_up_when_they_are_over_and_a_drift_is_told_with_its_cause(store: Store) -> None:
    clock = Clock(FIRST + 169)
    keeper = DriftKeeper(lambda: DriftTable(store.url), wall=clock)
    assert {"object": "drift.report", "through": None, "data": []} == json.loads(keeper.report)
    entry, signals = entry_of(kept(keeper))
    assert ("chat", "control", "/v1/chat/completions") == (entry["model"], entry["arm"], entry["route"])
    assert entry["reference"]["why"] == "the first week of records"
    assert [] == entry["alarms"]
    assert signals["output_tokens"]["state"] == "steady"
    assert signals["tpot_ms"]["why"] == "not enough data: 0 of the reference's hours have 100 requests"
    assert 100 < signals["output_tokens"]["reference"] < 220
    clock.at_s += HOUR_S - 1
    assert not keeper.step()  # its last records may still be on their way
    clock.at_s += 1
    entry, signals = entry_of(kept(keeper))
    told = {alarm["signal"]: alarm for alarm in entry["alarms"]}
    assert {"identity:response_model", "output_tokens", "ttft_ms"} == told.keys()
    assert ["response model of llama changed from gpt-1 to gpt-2"] == told["output_tokens"]["causes"]
    assert signals["output_tokens"]["state"] == "drift"
    assert "gpt-2" in page(json.loads(keeper.report))


@pytest.mark.store  # it writes a week of records
def test_another_gateway_or_the_same_after_a_restart_says_the_same(store: Store) -> None:
    clock = Clock(FIRST + 170)
    one = DriftKeeper(lambda: DriftTable(store.url), wall=clock)
    other = DriftKeeper(lambda: DriftTable(store.url), wall=clock)
    said = kept(one)
    assert said["through"] is not None
    assert said == kept(other)


@pytest.mark.store  # it writes a week of records
def test_what_is_frozen_is_what_it_should_be_from_then_on(tmp_path: Path) -> None:
    made = Store(tmp_path)
    made.hours(range(FIRST, FIRST + 170))
    made.hours(range(FIRST + 170, FIRST + 340), shift=0.9)
    clock, done = Clock(FIRST + 338), list[str]()
    keeper = DriftKeeper(lambda: DriftTable(made.url), wall=clock)
    assert entry_of(kept(keeper))[1]["output_tokens"]["state"] == "drift"
    keeper.freeze("chat", "ops", done.append)
    keeper.step()
    assert [""] == done
    clock.at_s += 2 * HOUR_S
    entry, signals = entry_of(kept(keeper))
    assert entry["reference"]["why"] == "the week before it was frozen"
    assert signals["output_tokens"]["state"] == "steady"
    assert signals["output_tokens"]["reference"] > 300
    made.close()


@pytest.mark.store  # it writes a week of records
def test_a_release_is_compared_with_the_week_before_it(tmp_path: Path) -> None:
    made = Store(tmp_path)
    made.hours(range(FIRST, FIRST + 190), bundle="aaaa")
    made.hours(range(FIRST + 190, FIRST + 192), bundle="bbbb", shift=0.9)
    entry, _ = entry_of(kept(DriftKeeper(lambda: DriftTable(made.url), wall=Clock(FIRST + 192))))
    assert entry["reference"]["why"] == "the week before the configuration changed"
    told = {alarm["signal"]: alarm for alarm in entry["alarms"]}
    assert {"output_tokens", "ttft_ms"} == told.keys()
    assert ["bundle of llama changed from aaaa to bbbb"] == told["output_tokens"]["causes"]
    made.close()


def test_a_database_that_is_away_is_told_and_comes_back(tmp_path: Path) -> None:
    made = Store(tmp_path)
    made.hours(range(FIRST, FIRST + 1))
    away = [True]

    def opened() -> DriftTable:
        if away[0]:
            raise DatabaseAway("gone fishing")
        return DriftTable(made.url)

    keeper, done = DriftKeeper(opened, wall=Clock(FIRST + 1)), list[str]()
    keeper.freeze("chat", "ops", done.append)
    assert not keeper.step()
    assert ["gone fishing"] == done
    away[0] = False
    assert keeper.step()
    assert 1 == len(kept(keeper)["data"])
    made.close()


def test_its_thread_ends_when_it_is_told_to(tmp_path: Path) -> None:
    made = Store(tmp_path)
    keeper = DriftKeeper(lambda: DriftTable(made.url), wall=Clock(FIRST))
    keeper.start()
    keeper.close()
    made.close()


@pytest.mark.store  # it writes a week of records
def test_with_other_control_arms_all_that_is_kept_is_judged_anew(store: Store) -> None:
    keeper = DriftKeeper(lambda: DriftTable(store.url), wall=Clock(FIRST + 170))
    said = kept(keeper)
    before = keeper._judged
    keeper.use_controls({"chat": "another"}, ["chat"])
    assert said == kept(keeper)
    assert before is not keeper._judged
