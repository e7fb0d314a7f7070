"""Engines that sleep: they are started with what it needs, only the gateway reaches them, and one gateway acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.settings import load_settings
from tests.kubernetes.chart.helm import CHART, LATEST, Objects, Refused, call, preset, template
from tests.kubernetes.chart.schemas import complaints
from tests.kubernetes.chart.test_presets import written

ACTS: dict[str, Any] = {"autoscaling": {"mode": "gateway", "podDeletionCost": True}}
URLS = [{"url": "http://10.0.0.1:8000"}]
ELSEWHERE = {"kind": "vllm", "replicas": URLS, "autoscale": {"min": 1, "max": 1, "sleep": {"level": 1}}}
FLAG, DEVELOPMENT = "--enable-sleep-mode", "VLLM_SERVER_DEV_MODE"


def fleet(engines: dict[str, Any], **values: Any) -> Objects:
    return template("helm4", "fleet", {**ACTS, "engines": engines, **values})


def started_to_sleep(pod: dict[str, Any]) -> tuple[bool, bool]:
    """Whether an engine's arguments, and its environment, have what sleep needs."""
    (it,) = pod["spec"]["containers"]
    return FLAG in it["args"], {"name": DEVELOPMENT, "value": "1"} in it.get("env", ())


@pytest.mark.parametrize("said", [{"autoscale": {"sleep": {}}}, {"config": {"autoscale": {"sleep": {"level": 2}}}}])
def test_an_engine_that_sleeps_is_started_so_and_the_gateway_knows(tmp_path: Path, said: dict[str, Any]) -> None:
    objects = fleet({"llama": said, "deepseek": {"autoscale": {"sleep": {"level": 2, "wake_s": 60}}}})
    engines = {
        name: started_to_sleep(pod) for name, pod in objects.pods if "engine" in pod["metadata"]["labels"].values()
    }
    assert len(engines) == 3
    assert set(engines.values()) == {(True, True)}
    found = load_settings(written(tmp_path, objects.config), {}).settings.engines
    levels = {name: one.autoscale.sleep.level for name, one in found.items() if one.autoscale and one.autoscale.sleep}
    assert levels == {"llama": 2 if "config" in said else 1, "deepseek": 2}


def test_an_engine_that_does_not_sleep_has_no_endpoints_of_development() -> None:
    pods = dict(fleet({"llama": {"replicas": 1}}).pods)
    assert started_to_sleep(pods["Deployment/penstock-llama"]) == (False, False)


def test_a_simulator_that_sleeps_serves_what_vllm_does() -> None:
    values = {**ACTS, "engines": {"sim": {"autoscale": {"sleep": {}}}}}
    (it,) = template("helm3", "laptop", values).the("Deployment", "sim")["spec"]["template"]["spec"]["containers"]
    assert "--sleep-mode" in it["args"]


def test_nobody_but_the_gateway_and_prometheus_reaches_the_endpoints_of_sleep() -> None:
    (policy,) = fleet({"llama": {"autoscale": {"sleep": {}}}}).of("NetworkPolicy", "llama")
    (rule,) = [one for one in policy["spec"]["ingress"] if {"port": 8000} in one["ports"]]
    components = [
        one.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component") for one in rule["from"]
    ]
    assert components == ["gateway", None]


def test_without_a_policy_the_notes_say_who_can_put_engines_to_sleep() -> None:
    def notes(**more: str) -> str:
        sets = {"autoscaling.mode": "gateway", "engines.sim.autoscale.sleep.level": "1", **more}
        words = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
        return call("helm4", "install", "penstock", str(CHART), "--dry-run=client", "-f", str(preset("laptop")), *words)

    assert "put the engines sim to sleep" in notes(**{"networkPolicy.enabled": "false"})
    assert "to sleep" not in notes().rpartition("NOTES:")[2]


@pytest.mark.parametrize("mode", ["none", "gateway"])
def test_engines_of_the_configuration_that_sleep_have_a_gateway_that_acts(tmp_path: Path, mode: str) -> None:
    values = {"autoscaling": {"mode": mode}, "engineDefaults": {"discovery": "dns" if mode == "none" else "kubernetes"}}
    objects = template("helm4", "laptop", {**values, "config": {"engines": {"shared": ELSEWHERE}}})
    assert [] == complaints(objects, LATEST)
    settings = load_settings(written(tmp_path, objects.config), {}).settings
    assert settings.peers is not None
    assert settings.peers.dns == objects.the("Service", "peers")["metadata"]["name"]
    assert settings.autoscale.lease is not None
    leases = [one for one in objects.the("Role")["rules"] if one["resources"] == ["leases"]]
    assert [(one.get("resourceNames"), one["verbs"]) for one in leases] == [
        (None, ["create"]),
        ([settings.autoscale.lease.name], ["get", "update"]),
    ]
    mounted = [name for name, pod in objects.pods if pod["spec"]["automountServiceAccountToken"]]
    assert mounted == ["Deployment/penstock"]
    (policy,) = objects.of("NetworkPolicy", "penstock")
    assert [{"port": "admin"}] in [rule["ports"] for rule in policy["spec"]["ingress"]]
    assert objects.the("Secret", "peers")


def test_where_nothing_sleeps_and_nothing_scales_there_is_no_lease() -> None:
    objects = template("helm4", "laptop", {"config": {"engines": {"shared": {"kind": "vllm", "replicas": URLS}}}})
    assert [] == [rule for rule in objects.the("Role")["rules"] if rule["resources"] == ["leases"]]
    assert not {"peers", "autoscale"} & objects.config.keys()


SLEEPS: dict[str, Any] = {"llama": {"autoscale": {"sleep": {"most": 1}}}}
WRONG: tuple[tuple[str, dict[str, Any], str], ...] = (
    *(
        (
            "fleet",
            {"autoscaling": {"mode": mode}, "engines": {"llama": {"autoscale": {"min": 1, "sleep": {}}}}},
            rf"engines\.llama\.autoscale\.sleep needs the gateways .*mode is {mode}: write autoscaling\.mode: gateway",
        )
        for mode in ("none", "keda", "hpa")
    ),
    (
        "fleet",
        {"autoscaling": {"podDeletionCost": False}, "engines": SLEEPS},
        r"sleep\.most needs .*podDeletionCost",
    ),
    ("fleet", {**ACTS, "engines": {"deepseek": SLEEPS["llama"]}}, r"deepseek\.autoscale\.sleep\.most needs"),
    ("fleet", {**ACTS, "engines": {"llama": {"autoscale": {"sleep": {"levels": 1}}}}}, r"levels"),
    (
        "laptop",
        {"autoscaling": {"mode": "keda"}, "config": {"engines": {"shared": ELSEWHERE}}},
        r"config\.engines\.shared\.autoscale\.sleep needs the gateways to act, and autoscaling\.mode is keda",
    ),
)


@pytest.mark.parametrize(("name", "values", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_a_sleep_that_nobody_could_end_is_refused(helm: str, name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=f"(?s){words}"):
        template(helm, name, values)
