"""Upgrades by both Helms, against an API server: what somebody has scaled stays, and what is gone stays gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.chart.helm import CHART, flat, preset, program
from tests.kubernetes.fake_api import Api, serving
from tests.kubernetes.fake_api.patches import APPLY, MERGE

DEPLOYMENTS = "/apis/apps/v1/namespaces/llm/deployments"


class Cluster:
    """A release in an API server, by one Helm."""

    def __init__(self, helm: str, url: str, token: str, home: Path) -> None:
        self._program = program(helm)
        self._url = url
        self._token = token
        self._home = home

    def helm(self, verb: str, name: str, values: dict[str, Any]) -> str:
        """`install` or `upgrade` of the release with a preset and values; what Helm prints."""
        # The fake publishes no OpenAPI; schemas are what `test_presets` is about.
        arguments = [verb, "penstock", str(CHART), "--values", str(preset(name)), "--disable-openapi-validation"]
        for key, value in flat(values):
            arguments += ["--set-json", f"{key}={json.dumps(value)}"]
        return self._run(*arguments)

    def uninstall(self) -> None:
        self._run("uninstall", "penstock", "--ignore-not-found")

    def _run(self, *arguments: str) -> str:
        place = ["--namespace", "llm", "--kube-apiserver", self._url, "--kube-token", self._token]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home), "KUBECONFIG": str(self._home / "none")}
        command = [self._program, *arguments, *place]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, method: str, path: str, body: Any = None, media: str = "application/json") -> tuple[int, Any]:
        """The status and the document."""
        headers = {"content-type": media, "authorization": f"Bearer {self._token}", "user-agent": "autoscaler/1"}
        text = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, text, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def scale(self, name: str, replicas: int) -> None:
        """As an autoscaler does."""
        status, document = self.ask("PATCH", f"{DEPLOYMENTS}/{name}/scale", {"spec": {"replicas": replicas}}, MERGE)
        assert status == 200, document

    def replicas(self, name: str) -> int:
        status, document = self.ask("GET", f"{DEPLOYMENTS}/{name}")
        assert status == 200, document
        found: int = document["spec"]["replicas"]
        return found

    def names(self, path: str) -> list[str]:
        return [it["metadata"]["name"] for it in self.ask("GET", path)[1]["items"]]


@pytest.fixture
def cluster(helm: str, tmp_path: Path) -> Iterator[Cluster]:
    """The fake; or the server at PENSTOCK_TEST_KUBE_URL, by PENSTOCK_TEST_KUBE_TOKEN, whose namespace `llm` is used."""
    if url := os.environ.get("PENSTOCK_TEST_KUBE_URL"):
        real = Cluster(helm, url, os.environ.get("PENSTOCK_TEST_KUBE_TOKEN", ""), tmp_path)
        real.uninstall()
        yield real
        real.uninstall()
    else:
        with serving(Api()) as url:
            yield Cluster(helm, url, "any", tmp_path)


BOUNDS = {"min": 0, "max": 9}
SCALED: dict[str, Any] = {
    "autoscaling": {"mode": "gateway"},
    "engines": {"sim": {"autoscale": BOUNDS}},
}
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
    secret = "/api/v1/namespaces/llm/secrets/penstock-peers"
    cluster.helm("install", "laptop", SCALED)
    first = cluster.ask("GET", secret)[1]["data"]["key"]
    cluster.helm("upgrade", "laptop", SCALED)
    assert first == cluster.ask("GET", secret)[1]["data"]["key"]


def test_a_chart_that_stops_to_say_replicas_gets_one_and_one_that_says_another_number_a_conflict(
    cluster: Cluster,
) -> None:
    """The traps that the chart avoids, as a real server has them: so must this one, or the tests above say nothing."""
    labels = {"a": "b"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}, "template": pod}
    it = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "trap"}}
    three, silent = ({**it, "spec": {**spec, **more}} for more in ({"replicas": 3}, {}))
    target = f"{DEPLOYMENTS}/trap?fieldManager=helm"
    assert 3 == cluster.ask("PATCH", target, three, APPLY)[1]["spec"]["replicas"]
    assert 1 == cluster.ask("PATCH", target, silent, APPLY)[1]["spec"]["replicas"]
    cluster.ask("PATCH", target, three, APPLY)
    cluster.scale("trap", 5)
    status, document = cluster.ask("PATCH", target, three, APPLY)
    assert (409, "Conflict") == (status, document["reason"])
    assert ".spec.replicas" in document["message"]
    cluster.ask("DELETE", f"{DEPLOYMENTS}/trap")


def test_the_notes_print_the_next_three_commands(cluster: Cluster) -> None:
    notes = cluster.helm("install", "laptop", {"monitoring": {"serviceMonitor": {"enabled": True}}})
    commands = re.findall(r"^ +((?:kubectl|helm|curl) .*)$", notes, re.MULTILINE)
    assert [
        "kubectl -n llm rollout status deployment/penstock --timeout=60s",
        "helm test penstock -n llm --logs",
        "kubectl -n llm port-forward service/penstock 8080:80 &",
    ] == commands[:3]
    assert commands[3].startswith("curl http://127.0.0.1:8080/v1/chat/completions ")
    (body,) = re.findall(r"-d '(.*)'$", notes, re.MULTILINE)
    assert "chat" == json.loads(body)["model"]
    assert "autoscaling: {mode: gateway} has them follow the traffic" in notes
    assert "Records of requests lie in an emptyDir" in notes
    assert commands[4].startswith("kubectl get prometheus -A -o jsonpath=")
