"""KEDA and HPAs: what they ask is there, they are told the same engines, and they go where they are told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.scaler.service import ENGINE, METRIC
from gateway.settings import load_settings
from tests.kubernetes.chart.helm import PRESETS, Objects, template
from tests.kubernetes.chart.test_presets import written


def scaled(mode: str, preset: str = "fleet", kubernetes: str = "1.37") -> Objects:
    return template("helm4", preset, {"autoscaling": {"mode": mode}, **BOUNDS[preset]}, kubernetes=kubernetes)


BOUNDS: dict[str, dict[str, Any]] = {
    "fleet": {
        "engines": {"llama": {"autoscale": {"min": 1, "max": 16}}, "deepseek": {"autoscale": {"min": 1, "max": 4}}}
    },
    "gpu": {},
    "laptop": {"engines": {"sim": {"autoscale": {"min": 1, "max": 3}}}},
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("mode", ["keda", "hpa"])
def test_the_gateway_takes_the_configuration_and_writes_no_replicas_itself(
    tmp_path: Path, mode: str, preset: str
) -> None:
    objects = scaled(mode, preset)
    settings = load_settings(written(tmp_path, objects.config), {}).settings
    found = {name: one.autoscale for name, one in settings.engines.items() if one.found_at is not None}
    assert found
    assert all(section is not None and section.kubernetes is None for section in found.values())
    assert (settings.autoscale.writer, settings.autoscale.lease) == (mode, None)
    assert settings.peers is not None
    assert settings.peers.dns == objects.the("Service", "peers")["metadata"]["name"]
    rights = [resource for it in objects.of("Role") for rule in it["rules"] for resource in rule["resources"]]
    assert rights == ["endpointslices"]


def test_keda_dials_the_gateways_and_names_their_engines() -> None:
    objects = scaled("keda")
    service = objects.the("Service", "scaler")["metadata"]
    triggers = [trigger for it in objects.of("ScaledObject") for trigger in it["spec"]["triggers"]]
    port = objects.config["autoscale"]["keda"]["listen"].rpartition(":")[2]
    assert {trigger["type"] for trigger in triggers} == {"external-push"}
    assert {trigger["metadata"]["scalerAddress"] for trigger in triggers} == {
        f"{service['name']}.{service['namespace']}:{port}"
    }
    assert {trigger["metadata"][ENGINE] for trigger in triggers} == {"llama", "deepseek"}
    assert {trigger["metadata"][ENGINE] for trigger in triggers} <= objects.config["engines"].keys()


def test_an_hpa_asks_for_the_number_that_keda_is_told() -> None:
    metrics = [
        one["external"] for it in scaled("hpa").of("HorizontalPodAutoscaler", "llama") for one in it["spec"]["metrics"]
    ]
    (one,) = metrics
    assert (one["metric"]["name"], one["target"]) == (METRIC, {"type": "AverageValue", "averageValue": "1"})


@pytest.mark.parametrize(("kubernetes", "tolerance"), [("1.34", None), ("1.37", "0")])
@pytest.mark.parametrize("mode", ["keda", "hpa"])
def test_whatever_number_is_told_is_reached_in_one_step(mode: str, kubernetes: str, tolerance: str | None) -> None:
    objects = scaled(mode, kubernetes=kubernetes)
    for engine, most in (("llama", 16), ("deepseek", 4)):
        if mode == "keda":
            spec = objects.the("ScaledObject", engine)["spec"]
            bounds = spec["minReplicaCount"], spec["maxReplicaCount"]
            behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        else:
            spec = objects.the("HorizontalPodAutoscaler", engine)["spec"]
            bounds = spec["minReplicas"], spec["maxReplicas"]
            behavior = spec["behavior"]
        assert bounds == (1, most)
        section = objects.config["engines"][engine]["autoscale"]
        assert bounds == (section["min"], section["max"])
        up, down = behavior["scaleUp"], behavior["scaleDown"]
        assert up["policies"] == [{"type": "Pods", "value": most, "periodSeconds": 15}]
        assert down["policies"] == [{"type": "Percent", "value": 100, "periodSeconds": 15}]
        assert [one["stabilizationWindowSeconds"] for one in (up, down)] == [0, 0]
        assert [one.get("tolerance") for one in (up, down)] == [tolerance] * 2
