"""Each preset, by each Helm, for each Kubernetes: it renders, schemas take it, and so does the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import load_settings
from tests.kubernetes.chart.helm import CHART, KUBERNETES, PRESETS, Objects, Refused, call, preset, template
from tests.kubernetes.chart.schemas import CUSTOM, complaints, custom, custom_complaints


@pytest.mark.parametrize("name", PRESETS)
def test_lint_finds_nothing(helm: str, name: str) -> None:
    said = call(helm, "lint", "--strict", "--values", str(preset(name)), str(CHART))
    assert [] == [line for line in said.splitlines() if "[WARNING]" in line or "[ERROR]" in line]


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("name", PRESETS)
def test_every_object_of_a_preset_is_as_its_schema_says(helm: str, name: str, kubernetes: str) -> None:
    objects = template(helm, name, kubernetes=kubernetes)
    assert objects.the("Service", "penstock")["metadata"]["namespace"] == "llm"
    assert [] == complaints(objects, kubernetes)


@pytest.mark.parametrize("name", PRESETS)
def test_every_custom_resource_of_a_preset_is_as_its_schema_says(helm: str, name: str) -> None:
    if not CUSTOM.is_dir():
        pytest.skip(f"CUSTOM RESOURCES ARE NOT VALIDATED: their schemas are not at {CUSTOM}")
    objects = template(helm, name)
    assert ["fleet"] == [name] or not any(map(custom, objects))
    assert [] == custom_complaints(objects)


@pytest.mark.parametrize("name", PRESETS)
def test_both_helms_render_the_same(name: str) -> None:
    def told(objects: Objects) -> list[str]:
        return sorted(yaml.safe_dump(it) for it in objects if it["kind"] != "Secret")  # its key is made anew each time

    assert told(template("helm3", name)) == told(template("helm4", name))


@pytest.mark.parametrize("name", PRESETS)
def test_the_gateway_takes_the_configuration_of_a_preset(tmp_path: Path, name: str) -> None:
    config = template("helm4", name).config
    assert {} == {key: value for key, value in config["models"].items() if not value["targets"]}
    loaded = load_settings(written(tmp_path, config), {})
    assert set(config["engines"]) == set(loaded.settings.engines)


@pytest.mark.parametrize("discovery", ["kubernetes", "dns"])
def test_the_gateway_looks_for_the_replicas_of_an_engines_service(tmp_path: Path, discovery: str) -> None:
    objects = template("helm4", "laptop", {"engineDefaults": {"discovery": discovery}})
    (place,) = objects.config["engines"]["sim"]["discover"].values()
    service = objects.the("Service", "sim")
    assert service["metadata"]["name"] == place.get("service", place.get("host"))
    assert ("None", [place["port"]]) == (
        service["spec"]["clusterIP"],
        [port["port"] for port in service["spec"]["ports"]],
    )
    assert ["sim"] == list(load_settings(written(tmp_path, objects.config), {}).settings.engines)


@pytest.mark.parametrize("name", PRESETS)
def test_a_gateway_that_scales_takes_its_configuration_and_finds_what_it_scales(tmp_path: Path, name: str) -> None:
    values = {"autoscaling": {"mode": "gateway", "podDeletionCost": True}}
    objects = template("helm4", name, values)
    settings = load_settings(written(tmp_path, objects.config), {}).settings
    scaled = {section.autoscale.kubernetes for section in settings.engines.values() if section.autoscale is not None}
    there = {(it["kind"], it["metadata"]["name"]) for it in (*objects.of("Deployment"), *objects.of("LeaderWorkerSet"))}
    assert {(it.kind, it.name) for it in scaled if it is not None} == there - {("Deployment", "penstock")}
    assert [it.deletion_cost for it in scaled if it is not None and it.kind == "LeaderWorkerSet"] in ([], [False])
    assert settings.autoscale.lease is not None
    rules = {rule["resources"][0]: rule for rule in objects.the("Role")["rules"] if "resourceNames" in rule}
    assert rules["leases"]["resourceNames"] == [settings.autoscale.lease.name]


def test_numbers_reach_the_gateway_whole(tmp_path: Path) -> None:
    config = template("helm3", "laptop", {"config": {"limits": {"body_bytes": 1073741824}}}).config
    assert 1073741824 == load_settings(written(tmp_path, config), {}).settings.limits.body_bytes


@pytest.mark.parametrize("mode", ["none", "gateway", "keda"])
def test_null_takes_an_engine_of_a_preset_away(helm: str, mode: str) -> None:
    llama = {"model": "m/llama", "autoscale": {"max": 2}}
    models = {"chat": {"targets": [{"engine": "llama", "model": "m/llama"}]}}
    changes = {"engines": {"qwen": None, "llama": llama}, "autoscaling": {"mode": mode}, "config": {"models": models}}
    objects = template(helm, "gpu", changes)
    assert [name for name, _ in objects.pods if "qwen" in name] == []
    assert list(objects.config["engines"]) == ["llama"]
    assert "qwen" not in str([it for it in objects if it["kind"] != "ConfigMap"])
    with pytest.raises(Refused, match=r'engine "qwen", which is neither in engines nor in config.engines'):
        template(helm, "gpu", {"engines": {"qwen": None}})


NAMED: dict[str, Any] = {
    "engines": {"far": {"kind": "openai", "base_url": "http://far/v1", "headers": {"x-team": "a", "x-kept": "b"}}},
    "models": {
        "gone": {"targets": [{"engine": "away"}]},
        "far": {
            "targets": [{"engine": "far", "model": "m"}],
            "experiment": {
                "arms": {"control": {}, "other": {"weight": 5, "policy": {"name": "random"}}, "gone": {"weight": 5}},
                "control": "control",
                "salt": "1",
            },
        },
    },
    "prices": {"far/m": {"input_usd_per_mtok": 1}, "far/gone": {"input_usd_per_mtok": 2}},
}
"""What one file of values says under `config`."""
TAKEN_AWAY: dict[str, Any] = {
    "engines": {"far": {"headers": {"x-team": None}}, "away": None},
    "models": {"gone": None, "far": {"experiment": {"arms": {"gone": None}}}},
    "prices": {"far/gone": None},
}
"""And what a later one does."""


def test_null_takes_whatever_has_a_name_in_the_configuration_away(helm: str, tmp_path: Path) -> None:
    config = template(helm, "laptop", {"config": NAMED}, over={"config": TAKEN_AWAY}).config
    assert config["models"].keys() & {"gone", "far"} == {"far"}
    assert "away" not in config["engines"]
    assert config["engines"]["far"]["headers"] == {"x-kept": "b"}
    assert set(config["models"]["far"]["experiment"]["arms"]) == {"control", "other"}
    assert list(config["prices"]) == ["far/m"]
    assert "null" not in yaml.safe_dump(config)
    assert {"far", "sim"} == set(load_settings(written(tmp_path, config), {}).settings.engines)


@pytest.mark.parametrize("config", [{"models": {"chat": None}}, None])
def test_a_chart_whose_every_model_is_taken_away_has_none(helm: str, config: dict[str, Any] | None) -> None:
    with pytest.raises(Refused, match=r"config\.models is empty"):
        template(helm, "laptop", over={"config": config})


def test_without_a_model_the_chart_says_which_preset_to_take(helm: str) -> None:
    with pytest.raises(Refused, match=r"(?s)config\.models is empty.*presets/laptop\.yaml"):
        template(helm, "")


def written(directory: Path, config: dict[str, Any]) -> Path:
    """The configuration in a file, with the secret files that it names beside it."""
    text = yaml.safe_dump(config)
    secrets = directory / "secrets"
    (secrets / "chart").mkdir(parents=True)
    (secrets / "chart" / "store-url").write_text("postgresql://penstock:pw@db/penstock")
    (secrets / "chart" / "peers-key").write_text("k" * 48)
    (secrets / "openai").write_text("key")
    file = directory / "penstock.yaml"
    file.write_text(text.replace("/run/secrets/penstock", str(secrets)))
    return file


def test_the_schemas_see_what_they_are_for() -> None:
    good = template("helm4", "gpu").the("Deployment", "qwen")
    assert [] == complaints([good], "1.37")
    for broken in ({"replicas": "three"}, {"replica": 3}, {"template": "x"}):
        it = {**good, "spec": {**good["spec"], **broken}}
        assert 1 == len(complaints([it], "1.37")), broken
