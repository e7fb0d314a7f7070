"""The Dockerfile, as a linter reads it, and what it and the chart must agree on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.kubernetes.chart.helm import ROOT, template
from tests.kubernetes.chart.test_rules import promtool

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_the_pod_runs_as_the_images_user_and_writes_where_it_may() -> None:
    pod = template("helm4", "laptop").the("Deployment", "penstock")["spec"]["template"]["spec"]
    (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) == pod["securityContext"]["runAsUser"]
    (folder,) = re.findall(r"^WORKDIR (/var/\S+)$", DOCKERFILE, re.MULTILINE)
    assert folder in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}


def test_the_image_has_the_parts_that_the_chart_offers() -> None:
    (extras,) = re.findall(r'^ARG EXTRAS="([^"]+)"$', DOCKERFILE, re.MULTILINE)
    assert "postgres" in extras.split(",")  # store.secret


def test_prometheus_takes_the_configuration_of_compose() -> None:
    assert "" == promtool("check", "config", str(ROOT / "configs" / "compose" / "prometheus.yaml"))
