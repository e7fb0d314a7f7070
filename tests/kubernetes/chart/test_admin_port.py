"""The gateways' admin port: a Service of its own, whom the network lets in, and Prometheus where metrics are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.settings import load_settings
from tests.kubernetes.chart.helm import LATEST, Objects, Refused, template
from tests.kubernetes.chart.schemas import CUSTOM, complaints, custom_complaints
from tests.kubernetes.chart.test_presets import written

SHA256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
OPS = {"keys": [{"id": "ops", "sha256": SHA256, "admin": True}]}
CALLERS = [{"podSelector": {"matchLabels": {"team": "platform"}}}]
MONITOR = {"serviceMonitor": {"enabled": True, "key": {"secret": "watcher"}}}


def chart(**values: Any) -> Objects:
    return template("helm4", "gpu", {"config": {"auth": OPS}, **values})


def admitted(objects: Objects, port: str) -> list[dict[str, Any]]:
    """Who may call this port of the gateway."""
    rules = objects.the("NetworkPolicy", "penstock")["spec"]["ingress"]
    return [peer for rule in rules if {"port": port} in rule["ports"] for peer in rule.get("from", [{}])]


def test_without_it_there_is_no_such_port() -> None:
    objects = chart()
    assert "admin" not in objects.config
    assert [] == [*objects.of("Service", "admin"), *admitted(objects, "admin")]


def test_with_it_the_gateway_takes_the_configuration_and_the_public_service_does_not_lead_there(tmp_path: Path) -> None:
    objects = chart(admin={"enabled": True}, networkPolicy={"adminFrom": CALLERS})
    settings = load_settings(written(tmp_path, objects.config), {}).settings
    assert (settings.admin is not None, settings.peers, settings.server.metrics) == (True, None, "open")
    assert ["http"] == [port["name"] for port in objects.the("Service", "penstock")["spec"]["ports"]]
    assert ["admin"] == [port["name"] for port in objects.the("Service", "admin")["spec"]["ports"]]
    gateways, callers = admitted(objects, "admin")
    assert "gateway" == gateways["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    assert [callers] == CALLERS


def test_metrics_may_be_there_alone_and_prometheus_follows_with_its_key(tmp_path: Path) -> None:
    values = {"admin": {"enabled": True, "metrics": True}, "monitoring": MONITOR}
    objects = chart(**values, networkPolicy={"gatewayFrom": CALLERS})
    assert "off" == load_settings(written(tmp_path, objects.config), {}).settings.server.metrics
    monitor = objects.the("ServiceMonitor")["spec"]
    (found,) = [
        it
        for it in objects.of("Service")
        if monitor["selector"]["matchLabels"].items() <= it["metadata"]["labels"].items()
    ]
    (endpoint,) = monitor["endpoints"]
    assert ("penstock-admin", "admin") == (found["metadata"]["name"], endpoint["port"])
    assert {"credentials": {"name": "watcher", "key": "key"}} == endpoint["authorization"]
    assert [{"targetLabel": "job", "replacement": "penstock"}] == endpoint["relabelings"]
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert [prometheus in admitted(objects, port) for port in ("admin", "http")] == [True, False]
    assert [] == complaints(objects, LATEST)
    if not CUSTOM.is_dir():
        pytest.skip(f"CUSTOM RESOURCES ARE NOT VALIDATED: their schemas are not at {CUSTOM}")
    assert [] == custom_complaints(objects)


def test_where_gateways_scale_engines_they_have_one_by_themselves() -> None:
    objects = chart(autoscaling={"mode": "keda"})
    assert ["admin"] == [port["name"] for port in objects.the("Service", "admin")["spec"]["ports"]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"config": {"auth": {"keys": [{"id": "app", "sha256": SHA256}]}}},
            r"admin\.enabled is true, and none .*admin: true",
        ),
        ({"admin": {"enabled": False, "metrics": True}}, r"admin\.metrics is true, and there is no admin port"),
        (
            {"admin": {"enabled": True, "metrics": True}, "monitoring": {"serviceMonitor": {"enabled": True}}},
            r"monitoring\.serviceMonitor\.key\.secret is empty, and the admin port asks",
        ),
        (
            {"admin": {"enabled": True, "metrics": True}, "config": {"auth": OPS, "server": {"metrics": "key"}}},
            r"config\.server\.metrics and admin\.metrics both",
        ),
        ({"config": {"auth": OPS, "admin": {"listen": "0.0.0.0:1"}}}, r"config\.admin is set by the chart"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(helm: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=f"(?s){words}"):
        template(helm, "gpu", {"config": {"auth": OPS}, "admin": {"enabled": True}, **values})
