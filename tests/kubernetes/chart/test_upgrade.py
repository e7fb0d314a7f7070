"""Upgrades by both Helms, against an API server: what somebody has scaled stays, and what is gone stays gone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.chart.helm import CHART, flat, preset, program
from tests.kubernetes.fake_api import Api, Request, serving
from tests.kubernetes.fake_api.patches import MERGE

DEPLOYMENTS = "/apis/apps/v1/namespaces/llm/deployments"


class Cluster:
    """A release in an API server, by one Helm."""

    def __init__(self, helm: str, api: Api, url: str, home: Path) -> None:
        self._helm = helm
        self._api = api
        self._url = url
        self._home = home

    def helm(self, verb: str, name: str, values: dict[str, Any]) -> None:
        """`install` or `upgrade` of the release with a preset and values."""
        arguments = [verb, "penstock", str(CHART), "--namespace", "llm", "--values", str(preset(name))]
        # The fake publishes no OpenAPI; schemas are what `test_presets` is about.
        arguments += ["--disable-openapi-validation", "--kube-apiserver", self._url, "--kube-token", "any"]
        for key, value in flat(values):
            arguments += ["--set-json", f"{key}={json.dumps(value)}"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home), "KUBECONFIG": str(self._home / "none")}
        done = subprocess.run(
            [program(self._helm), *arguments], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr

    def scale(self, name: str, replicas: int) -> None:
        """As an autoscaler does."""
        headers = {"content-type": MERGE, "user-agent": "autoscaler/1"}
        body = f'{{"spec": {{"replicas": {replicas}}}}}'.encode()
        done = self._api.answer(Request("PATCH", f"{DEPLOYMENTS}/{name}/scale", headers, body))
        assert done.status == 200, done.document

    def replicas(self, name: str) -> int:
        done = self._api.answer(Request("GET", f"{DEPLOYMENTS}/{name}"))
        assert done.status == 200, done.document
        found: int = done.document["spec"]["replicas"]
        return found

    def names(self, plural: str) -> list[str]:
        items = self._api.answer(Request("GET", plural)).document["items"]
        return [it["metadata"]["name"] for it in items]


@pytest.fixture
def cluster(helm: str, tmp_path: Path) -> Iterator[Cluster]:
    api = Api()
    with serving(api) as url:
        yield Cluster(helm, api, url, tmp_path)


BOUNDS = {"min": 0, "max": 9}
SCALED: dict[str, Any] = {"autoscaling": {"mode": "gateway"}, "engines": {"sim": {"autoscale": BOUNDS}}}
CHANGED: dict[str, Any] = {**SCALED, "engines": {"sim": {"autoscale": BOUNDS, "podAnnotations": {"changed": "yes"}}}}


def test_an_upgrade_keeps_what_the_autoscaler_scaled_to(cluster: Cluster) -> None:
    cluster.helm("install", "laptop", SCALED)
    assert 1 == cluster.replicas("penstock-sim")
    for wanted in (3, 0):
        cluster.scale("penstock-sim", wanted)
        cluster.helm("upgrade", "laptop", CHANGED)
        assert wanted == cluster.replicas("penstock-sim")
        cluster.helm("upgrade", "laptop", SCALED)
        assert wanted == cluster.replicas("penstock-sim")


def test_switching_an_autoscaler_on_keeps_the_replicas_that_there_are(cluster: Cluster) -> None:
    cluster.helm("install", "laptop", {"engines": {"sim": {"replicas": 3}}})
    assert 3 == cluster.replicas("penstock-sim")
    cluster.helm("upgrade", "laptop", SCALED)
    assert 3 == cluster.replicas("penstock-sim")
    cluster.scale("penstock-sim", 4)
    cluster.helm("upgrade", "laptop", SCALED)
    assert 4 == cluster.replicas("penstock-sim")


def test_the_gateways_own_autoscaler_is_kept_as_well(cluster: Cluster) -> None:
    scaled = {"gateway": {"autoscaling": {"enabled": True, "min": 2, "max": 9}}}
    cluster.helm("install", "laptop", {"gateway": {"replicas": 3}})
    cluster.helm("upgrade", "laptop", scaled)
    assert 3 == cluster.replicas("penstock")
    cluster.scale("penstock", 7)
    cluster.helm("upgrade", "laptop", scaled)
    assert 7 == cluster.replicas("penstock")


def test_an_engine_that_left_the_values_leaves_the_cluster(cluster: Cluster) -> None:
    other = {"engines": {"other": {"kind": "simulator", "model": "other"}}}
    cluster.helm("install", "laptop", other)
    assert ["penstock", "penstock-other", "penstock-sim"] == cluster.names(DEPLOYMENTS)
    cluster.helm("upgrade", "laptop", {})
    assert ["penstock", "penstock-sim"] == cluster.names(DEPLOYMENTS)


def test_the_secret_of_gateways_is_made_once(cluster: Cluster) -> None:
    def key() -> str:
        done = cluster._api.answer(Request("GET", "/api/v1/namespaces/llm/secrets/penstock-peers"))
        found: str = done.document["data"]["key"]
        return found

    cluster.helm("install", "laptop", SCALED)
    first = key()
    cluster.helm("upgrade", "laptop", SCALED)
    assert first == key()


def test_the_fake_has_the_trap_that_the_chart_avoids(cluster: Cluster) -> None:
    """A chart that just stops to render `replicas` gets 1 from a real server, and so it does here."""
    body = b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":3,'
    body += b'"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":'
    body += b'[{"name":"c","image":"x"}]}}}}'
    headers = {"content-type": "application/apply-patch+yaml"}
    target = f"{DEPLOYMENTS}/d?fieldManager=helm"
    assert 3 == cluster._api.answer(Request("PATCH", target, headers, body)).document["spec"]["replicas"]
    less = body.replace(b'"replicas":3,', b"")
    assert 1 == cluster._api.answer(Request("PATCH", target, headers, less)).document["spec"]["replicas"]
    cluster._api.answer(Request("PATCH", target, headers, body))
    cluster.scale("d", 5)
    conflict = cluster._api.answer(Request("PATCH", target, headers, body))
    assert (409, 'Apply failed with 1 conflict: conflict with "autoscaler" using apps/v1: .spec.replicas') == (
        conflict.status,
        conflict.document["message"],
    )
