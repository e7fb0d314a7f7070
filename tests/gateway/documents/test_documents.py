"""The pages of docs/ that are made of the code are as the code makes them, and leave nothing out."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

from gateway.documents import errors, metrics
from gateway.errors import TABLE
from gateway.telemetry.metrics import families
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


def test_the_first_questions_are_asked_of_metrics_and_labels_that_there_are() -> None:
    for _, asked in metrics.FIRST:
        named = {re.sub(r"_bucket$", "", name) for name in re.findall(r"penstock_\w+", asked)}
        assert named
        assert named <= set(BY_NAME), asked
        labels = {label for name in named for label in BY_NAME[name].labels} | {"le"}
        used = re.findall(r"by \(([^)]*)\)", asked) + re.findall(r"\{(\w+)=", asked)
        assert {label.strip() for one in used for label in one.split(",")} <= labels, asked


def test_each_family_of_metrics_is_in_one_section() -> None:
    modules = [module for group in metrics.GROUPS for module in group.modules]
    found = {module.name for module in pkgutil.iter_modules(families.__path__)}
    assert sorted(modules) == sorted(found)


@here
def test_a_metric_without_an_alert_names_the_panel_that_shows_it() -> None:
    rows = [line for line in metrics.page(RULES).splitlines() if line.startswith("| `penstock_retries_total`")]
    assert [True] == ["| Penstock" in row for row in rows], rows
    nested = {"title": "D", "panels": [{"title": "row", "panels": [{"title": "P", "targets": [{"expr": "up"}]}]}]}
    assert {} == metrics.panels_of([nested])
    nested["panels"][0]["panels"][0]["targets"][0]["expr"] = "rate(penstock_retries_total[5m])"  # type: ignore[index]
    assert {"penstock_retries_total": "D: P"} == metrics.panels_of([nested])


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
