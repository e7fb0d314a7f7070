"""What an API server fills in where an object says nothing, as far as the chart and the recorded answers need it."""

from __future__ import annotations

import re
from typing import Any

from tests.kubernetes.fake_api import failures

_MICROSECONDS = re.compile(r"\.\d{6}(Z|[+-]\d\d:\d\d)$")


def filled(it: dict[str, Any]) -> dict[str, Any]:
    """The object with its defaults, in place. Raises Refused for what cannot be read."""
    fill = {"Deployment": _deployment, "Lease": _lease}.get(it["kind"])
    if fill is not None:
        fill(it)
    return it


def _deployment(it: dict[str, Any]) -> None:
    spec = it["spec"]
    spec.setdefault("replicas", 1)
    if spec["replicas"] is None:
        spec["replicas"] = 1
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    pod = spec["template"]["spec"]
    for key, value in _POD.items():
        pod.setdefault(key, {} if value == {} else value)
    for container in pod["containers"]:
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        container.setdefault("imagePullPolicy", "Always" if tag in ("", "latest") else "IfNotPresent")
        for port in container.get("ports", ()):
            port.setdefault("protocol", "TCP")
    it.setdefault("status", {})


_POD = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}


def _lease(it: dict[str, Any]) -> None:
    for key in ("acquireTime", "renewTime"):
        value = it.get("spec", {}).get(key)
        if value is not None and not _MICROSECONDS.search(value):
            raise failures.bad_lease_time(value)
