"""Engines of `config` that the gateways scale: the rights to it by name, and one gateway that acts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kubernetes.chart.helm import CHART, HELMS, Objects, Refused, call, preset, template


def scaled(kind: str = "Deployment", *, deletion_cost: bool = False, **place: Any) -> dict[str, Any]:
    workload: dict[str, Any] = {"kind": kind, "name": "theirs"}
    if deletion_cost:
        workload["deletion_cost"] = True
    found = {"service": "theirs", "port": 8000, **place}
    return {"kind": "vllm", "discover": {"kubernetes": found}, "autoscale": {"max": 3, "kubernetes": workload}}


def rendered(helm: str, mode: str, engine: dict[str, Any]) -> Objects:
    return template(helm, "laptop", {"autoscaling": {"mode": mode}, "config": {"engines": {"other": engine}}})


def rights(objects: Objects, group: str, resource: str) -> list[tuple[list[str], list[str]]]:
    """Names and verbs of each rule of one resource."""
    return [
        (rule.get("resourceNames", []), rule["verbs"])
        for rule in objects.the("Role")["rules"]
        if rule["apiGroups"] == [group] and resource in rule["resources"]
    ]


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(("kind", "group"), [("Deployment", "apps"), ("LeaderWorkerSet", "leaderworkerset.x-k8s.io")])
def test_an_engine_of_the_configuration_gets_its_scale_by_name_and_a_lease(helm: str, kind: str, group: str) -> None:
    objects = rendered(helm, "none", scaled(kind))
    assert rights(objects, group, f"{kind.lower()}s/scale") == [(["theirs"], ["get", "patch"])]
    assert rights(objects, "", "pods") == [([], ["list"])]
    assert rights(objects, "coordination.k8s.io", "leases")[1] == (["penstock-autoscaler"], ["get", "update"])
    assert objects.config["autoscale"]["lease"]["name"] == "penstock-autoscaler"
    assert objects.of("Service", "-peers")


def test_those_of_the_chart_are_granted_beside_it() -> None:
    ((names, verbs),) = rights(rendered("helm4", "gateway", scaled()), "apps", "deployments/scale")
    assert (sorted(names), verbs) == (["penstock-sim", "theirs"], ["get", "patch"])


def test_pods_are_marked_where_the_configuration_says_so() -> None:
    objects = rendered("helm4", "none", scaled(deletion_cost=True))
    assert rights(objects, "", "pods") == [([], ["list", "patch"])]


@pytest.mark.parametrize("place", [{"namespace": "elsewhere"}, {"api_url": "https://api.example"}])
def test_what_is_scaled_elsewhere_is_the_readers_to_grant_and_still_one_gateway_acts(place: dict[str, Any]) -> None:
    objects = rendered("helm4", "none", scaled(**place))
    assert rights(objects, "apps", "deployments/scale") == []
    assert rights(objects, "", "pods") == []
    assert "lease" in objects.config["autoscale"]


def test_in_another_namespace_the_gateway_asks_as_itself_and_the_notes_say_what_it_needs_there() -> None:
    there = {"namespace": "elsewhere"}
    pool = {"kind": "vllm", "discover": {"kubernetes": {"pool": "llamas", **there}}}
    found = {"kind": "vllm", "discover": {"kubernetes": {"service": "theirs", "port": 8000, **there}}}
    alone = {"engineDefaults": {"discovery": "dns"}, "config": {"engines": {"other": found}}}
    for helm in HELMS:
        objects = template(helm, "laptop", alone)
        account = objects.the("ServiceAccount")["metadata"]["name"]
        (pod,) = [pod for name, pod in objects.pods if name == "Deployment/penstock"]
        assert (pod["spec"]["serviceAccountName"], pod["spec"]["automountServiceAccountToken"]) == (account, True)
        assert (objects.of("Role"), objects.of("RoleBinding")) == ([], []), "there is nothing to grant here"

    more = {"other": scaled("LeaderWorkerSet", deletion_cost=True, **there), "pool": pool}
    words = ["install", "penstock", str(CHART), "--dry-run=client", "-f", str(preset("laptop"))]
    notes = call("helm4", *words, "--set-json", f"config.engines={json.dumps(more)}").rpartition("NOTES:")[2]
    (head,) = [line for line in notes.splitlines() if "grants nothing in other namespaces" in line]
    assert "the ServiceAccount penstock of default" in head
    assert (
        "     config.engines.other, in elsewhere: get, list and watch endpointslices.discovery.k8s.io; get and patch "
        in notes
    )
    assert "leaderworkersets.leaderworkerset.x-k8s.io/scale theirs; list and patch pods\n" in notes
    assert (
        "pool, in elsewhere: get, list and watch pods, and inferencepools.inference.networking.k8s.io llamas\n" in notes
    )
    assert "other namespaces" not in call("helm4", *words).rpartition("NOTES:")[2]


@pytest.mark.parametrize(("mode", "other"), [("keda", "have KEDA scale it"), ("hpa", "have an HPA scale it")])
def test_two_writers_are_refused_with_what_to_do(mode: str, other: str) -> None:
    with pytest.raises(Refused, match=f"config.engines.other.autoscale.kubernetes .* {mode}: .* {other}"):
        rendered("helm4", mode, scaled())
