"""Dashboards ask for what is told, in PromQL that Prometheus reads, and fit Grafana's grid."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm.tools.dashboards import FOLDER
from tests.kubernetes.chart.helm import template
from tests.kubernetes.chart.queries import asked, unknown
from tests.kubernetes.chart.test_rules import promtool

FILES = sorted(FOLDER.glob("*.json"))
RANGES = {"$__rate_interval": "5m"}


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def queries(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_each_dashboard_of_the_field_is_there() -> None:
    assert {"overview", "engines", "arms", "cost", "drift", "autoscaling"} == {file.stem for file in FILES}
    assert len(FILES) == len({read(file)["uid"] for file in FILES})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_query_asks_for_metrics_and_labels_that_are_told(file: Path) -> None:
    found = queries(read(file))
    assert all(asked(query) for query in found)
    assert [] == [name for query in found for name in unknown(query)]
    chosen = [one["query"]["query"] for one in read(file)["templating"]["list"] if one["type"] == "query"]
    assert [] == [name for query in chosen for name in unknown(re.sub(r"^label_values\((.*), \w+\)$", r"\1", query))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_prometheus_reads_every_query(tmp_path: Path, file: Path) -> None:
    rules = []
    for number, query in enumerate(queries(read(file))):
        for variable, value in RANGES.items():
            query = query.replace(variable, value)
        rules.append({"record": f"query:{number}", "expr": re.sub(r"\$\w+", ".*", query)})
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": file.stem, "rules": rules}]}))
    assert "" == promtool("check", "rules", str(path))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_lie_beside_each_other_and_use_variables_that_are_there(file: Path) -> None:
    dashboard = read(file)
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    assert len(places) == len({panel["id"] for panel in dashboard["panels"]})
    variables = {one["name"] for one in dashboard["templating"]["list"]}
    used = {name for query in queries(dashboard) for name in re.findall(r"\$(\w+)", query)}
    assert used - {"__rate_interval"} <= variables


def test_the_chart_hands_each_to_grafana_as_it_is(helm: str) -> None:
    maps = [it for it in template(helm, "fleet").of("ConfigMap") if "dashboard" in it["metadata"]["name"]]
    assert {"1"} == {it["metadata"]["labels"]["grafana_dashboard"] for it in maps}
    handed = {name: text for it in maps for name, text in it["data"].items()}
    assert {f"penstock-{file.name}": file.read_text() for file in FILES} == handed


def test_scalers_ask_for_metrics_that_are_told() -> None:
    more = {"autoscaling": {"mode": "hpa"}}
    scalers = template("helm4", "fleet", more).of("HorizontalPodAutoscaler")
    external = [one["external"]["metric"] for it in scalers for one in it["spec"]["metrics"] if "external" in one]
    told = [(one["name"], sorted(one["selector"]["matchLabels"])) for one in external]
    assert [("penstock_replicas_wanted", ["engine", "job"])] * 2 == told
    assert [] == unknown("penstock_replicas_wanted{engine='a'}")
