"""The pages of docs/ that are made of the code are as the code makes them, and leave nothing out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.documents import errors, metrics
from gateway.errors import TABLE
from gateway.telemetry.metrics.families import BY_NAME

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "helm" / "penstock" / "rules"
here = pytest.mark.skipif(not RULES.is_dir(), reason="the chart and the pages are not beside these tests")


@here
@pytest.mark.parametrize(("name", "text"), [("errors.md", errors.page()), ("metrics.md", metrics.page(RULES))])
def test_a_page_is_as_the_code_makes_it(name: str, text: str) -> None:
    assert (ROOT / "docs" / name).read_text() == text, "run `python -m gateway.documents`"


def test_every_error_has_a_meaning_and_no_meaning_is_of_none() -> None:
    assert set(errors.MEANINGS) == set(TABLE)
    assert all(meaning.endswith(".") for meaning in errors.MEANINGS.values())


@here
def test_every_metric_is_told_once() -> None:
    page = metrics.page(RULES)
    assert [name for name in BY_NAME if page.count(f"\n| `{name}` |") != 1] == []


def test_an_alert_is_found_by_recording_rules_and_by_the_parts_of_a_histogram() -> None:
    rules = [
        {"record": "job:ttft", "expr": "rate(penstock_time_to_first_token_seconds_bucket[5m])"},
        {"alert": "Late", "expr": "job:ttft > 1"},
        {"alert": "Open", "expr": "penstock_breaker_open == 1 and penstock_in_flight > 0"},
    ]
    assert metrics.alerts_of([{"groups": [{"rules": rules}]}]) == {
        "penstock_time_to_first_token_seconds": ["Late"],
        "penstock_breaker_open": ["Open"],
        "penstock_in_flight": ["Open"],
    }
