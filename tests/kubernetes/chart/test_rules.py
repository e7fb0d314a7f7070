"""Every alert fires when it must and is silent when it must, as promtool plays it; and asks for what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.errors import TABLE
from tests.kubernetes.chart.alerts import ALERTS, SELECTED, Case
from tests.kubernetes.chart.helm import ROOT, template
from tests.kubernetes.chart.queries import unknown


def rendered() -> dict[str, Any]:
    spec: dict[str, Any] = template("helm4", "fleet").the("PrometheusRule")["spec"]
    return spec


RULES = [rule for group in rendered()["groups"] for rule in group["rules"]]
NAMES = sorted(rule["alert"] for rule in RULES if "alert" in rule)


def promtool(*arguments: str) -> str:
    assert shutil.which("promtool"), "promtool is not there: on Debian it comes with the package prometheus"
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rendered()))
    assert "" == promtool("check", "rules", "--lint-fatal", str(file))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_metrics_and_labels_that_are_told(rule: dict[str, Any]) -> None:
    assert [] == unknown(rule["expr"])


def test_the_queries_are_read_and_not_waved_through() -> None:
    assert ["penstock_request_total"] == unknown("rate(penstock_request_total[5m])")
    assert ["penstock_in_flight{arm}"] == unknown('penstock_in_flight{arm="a",model="b"}')
    assert ["vllm:gpu_cache_usage_perc"] == unknown("vllm:gpu_cache_usage_perc")
    assert ["penstock_queue_seconds"] == unknown("penstock_queue_seconds")


def test_every_alert_has_a_test_and_no_test_is_of_none() -> None:
    assert NAMES == sorted(ALERTS)


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_fires_and_falls_silent(tmp_path: Path, name: str) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(rendered()))
    (rule,) = [rule for rule in RULES if rule.get("alert") == name]
    case = ALERTS[name]
    firing = {"alertname": name, "alertstate": "firing", **rule["labels"], **case.labels}
    tests = [played(case, case.fires, name, [firing])]
    tests += [played(case, quiet, name, []) for quiet in case.quiet]
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}))
    assert "" == promtool("test", "rules", str(file))


def test_a_gateway_that_was_never_scraped_is_absent_too(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(rendered()))
    labels = {"alertname": "PenstockGatewayAbsent", "alertstate": "firing", "severity": "page"}
    test = played(Case({}, ()), {}, "PenstockGatewayAbsent", [{**labels, "job": "penstock", "namespace": "llm"}])
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    assert "" == promtool("test", "rules", str(file))


def played(case: Case, series: dict[str, str], name: str, expected: list[dict[str, str]]) -> dict[str, Any]:
    def labelled(labels: dict[str, str]) -> str:
        return "ALERTS{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"

    return {
        "interval": "1m",
        "input_series": [{"series": key.replace("{", f"{{{SELECTED},"), "values": it} for key, it in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{name}",alertstate="firing"}}',
                "eval_time": case.at,
                "exp_samples": [{"labels": labelled(labels), "value": 1} for labels in expected],
            }
        ],
    }


def test_the_failures_that_burn_the_budget_are_those_that_are_not_the_clients_doing() -> None:
    (pattern,) = {re.search(r'kind!~"([^"]+)"', rule["expr"])[1] for rule in RULES if "kind!~" in rule["expr"]}  # type: ignore[index]
    assert {kind for kind, row in TABLE.items() if row.status >= 500} == {
        kind for kind in TABLE if not re.fullmatch(pattern, kind)
    }


def test_every_alert_has_a_place_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    assert {f"docs/runbook.md#{name.lower()}" for name in NAMES} == {
        rule["annotations"]["runbook_url"] for rule in RULES if "alert" in rule
    }
    assert NAMES == sorted(re.findall(r"^## (Penstock\w+)$", runbook, re.MULTILINE))


def test_the_objectives_are_those_of_the_values() -> None:
    more = {"monitoring": {"rules": {"availability": 0.99, "ttft": {"seconds": 0.25, "ratio": 0.9}}}}
    text = yaml.safe_dump(template("helm3", "fleet", more).the("PrometheusRule")["spec"], width=10_000)
    assert ("14.4 * 0.010000" in text, "6 * 0.100000" in text) == (True, True)
    assert r'le=~"0\\.25(\\.0)?"' in text
    assert "@" not in text
