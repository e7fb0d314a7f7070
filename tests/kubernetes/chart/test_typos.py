"""A key that nobody reads is an error that names it; so is a value that cannot work, with what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.chart.helm import Refused, template

TYPOS = (
    "affinty",
    "autoscaling.kda.cooldownSeconds",
    "autoscaling.keda.coolDownSeconds",
    "config.auth.key",
    "config.breaker.open_seconds",
    "config.models.chat.admision.enabled",
    "config.models.chat.experiment.arm",
    "config.models.chat.hedging.after",
    "config.models.chat.polcy.name",
    "config.models.chat.policy.nme",
    "config.modles.chat",
    "config.server.worker",
    "config.telemetry.otlp.endpont",
    "engineDefaults.cache.storageclass",
    "engineDefaults.shm",
    "engines.sim.autoscale.maximum",
    "engines.sim.config.gpu_usd_per_hours",
    "engines.sim.gpu",
    "engines.sim.image.repo",
    "engines.sim.startup.maxSecond",
    "gateway.affinity.nodeAffinty",
    "gateway.autoscaling.maxReplicas",
    "gateway.replicaCount",
    "gateway.resources.limit",
    "gateway.service.nodeport",
    "httpRoute.hosts",
    "image.name",
    "ingress.host",
    "monitoring.rules.ttft.second",
    "monitoring.serviceMonitor.enable",
    "networkPolicy.enable",
    "peers.secret",
    "podDisruptionBudget",
    "serviceAccount.annotation",
    "store.url",
    "test.model_name",
)


@pytest.mark.parametrize("path", TYPOS)
def test_a_mistyped_key_is_refused_and_named(helm: str, path: str) -> None:
    parents, _, last = path.rpartition(".")
    with pytest.raises(Refused) as refused:
        template(helm, "laptop", set=[f"{path}=1"])
    wrong = [word for word in path.split(".") if f"{word} is not allowed" in refused.value.words.replace("'", "")]
    wrong += [word for word in path.split(".") if f"properties '{word}' not allowed" in refused.value.words]
    assert wrong, f"neither {parents} nor {last} is named: {refused.value.words}"


@pytest.mark.parametrize("path", ["global.imageRegistry", "x-shared.anything.at", "commonLabels.team"])
def test_what_umbrella_charts_and_anchors_need_stays_open(helm: str, path: str) -> None:
    assert template(helm, "laptop", set=[f"{path}=all"]).the("Service", "penstock")


def scaled(mode: str, **bounds: int) -> dict[str, Any]:
    return {"autoscaling": {"mode": mode}, "engines": {"llama": {"autoscale": bounds}}}


WRONG: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("laptop", {"config": {"auth": {"open": False}}}, r"config\.auth\.keys is empty.*sha256sum"),
    ("laptop", {"config": {"server": {"port": 9000}}}, r"config\.server\.port is set by the chart.*gateway\.service"),
    ("laptop", {"config": {"server": {"grace_s": 9}}}, r"config\.server\.grace_s is set by the chart.*drainSeconds"),
    ("laptop", {"config": {"data_dir": "/data"}}, r"config\.data_dir is set by the chart.*gateway\.dataSize"),
    (
        "laptop",
        {"config": {"models": {"chat": {"targets": [{"engine": "smi"}]}}}},
        r"config\.models\.chat names the engine .smi., .*there is: sim",
    ),
    ("laptop", {"config": {"engines": {"sim": {"kind": "simulator"}}}}, r"engines\.sim is in config\.engines too"),
    ("laptop", {"engines": {"other": {}}}, r"engines\.other\.model is empty: name what it serves"),
    ("laptop", {"engines": {"sim": {"config": {"kind": "vllm"}}}}, r"engines\.sim\.config\.kind is set by the chart"),
    ("laptop", {"engines": {"sim": {"nodes": 2}}}, r"engines\.sim\.nodes is 2: .*workload: LeaderWorkerSet"),
    ("laptop", {"engines": {"sim": {"workload": "LeaderWorkerSet"}}}, r"engines\.sim\.workload is LeaderWorkerSet"),
    ("laptop", {"engines": {"sim": {"kvEvents": True}}}, r"engines\.sim\.kvEvents is true: a simulator"),
    ("gpu", {"engines": {"qwen": {"replicas": 2}}}, r"engines\.qwen\.cache is a ReadWriteOnce volume.*ReadWriteMany"),
    (
        "gpu",
        {"gateway": {"replicas": 3}, "config": {"models": {"chat": {"experiment": {"steps": [{"weight": 5}]}}}}},
        r"config\.models\.chat\.experiment has steps, and 3 gateways .*store\.secret .*or gateway\.replicas: 1",
    ),
    (
        "gpu",
        {"config": {"models": {"chat": {"experiment": {"arms": {"canary": {"targets": [{"engine": "qwn"}]}}}}}}},
        r"config\.models\.chat names the engine .qwn.",
    ),
    ("gpu", {"ingress": {"enabled": True}}, r"ingress\.hosts is empty: name the host"),
    ("gpu", {"httpRoute": {"enabled": True}}, r"httpRoute\.parentRefs is empty: name the Gateway"),
    ("gpu", {"gateway": {"autoscaling": {"max": 1}}}, r"gateway\.autoscaling\.max is less than"),
    (
        "gpu",
        {"engines": {"qwen": {"config": {"autoscale": {"min": 1}}}}},
        r"engines\.qwen\.config\.autoscale is for",
    ),
    (
        "fleet",
        {"engines": {"deepseek-leader": {"model": "m"}}},
        r"engines\.deepseek-leader is the name of the Service of engines\.deepseek too",
    ),
    (
        "fleet",
        scaled("hpa", min=0),
        r"engines\.llama\.autoscale\.min is 0, and an HPA keeps at least 1",
    ),
    (
        "fleet",
        {"engines": {"llama": {"discovery": "dns"}}},
        r"engines\.llama\.discovery is dns: a gateway that scales pods .*write discovery: kubernetes",
    ),
    (
        "fleet",
        {"engines": {"llama": {"config": {"autoscale": {"kubernetes": {"name": "x"}}}}}},
        r"engines\.llama\.config\.autoscale\.kubernetes is set by the chart",
    ),
    ("fleet", scaled("gateway", min=0, max=0), r"engines\.llama\.autoscale\.max is 0"),
    ("fleet", scaled("gateway", min=20), r"engines\.llama\.autoscale\.max is less than min"),
    ("fleet", {"config": {"store": {"url": "off"}}}, r"store\.secret and config\.store\.url both"),
    ("fleet", {"autoscaling": {"mode": "karpenter"}}, r"mode"),
)


@pytest.mark.parametrize(("name", "values", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_what_cannot_work_is_refused_with_what_to_do(helm: str, name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=f"(?s){words}"):
        template(helm, name, values)
