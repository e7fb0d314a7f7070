"""compose.yaml: what it mounts is there, what it runs is pinned and closed, and the gateway takes its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from engines.kinds.vllm import VllmEngine
from gateway.settings import load_settings
from gateway.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_gateway_takes_its_configuration_and_knows_every_simulator() -> None:
    settings = load_settings(ROOT / "configs" / "compose" / "penstock.yaml", {}).settings
    engine = settings.engines["sim"]
    assert isinstance(engine, VllmEngine)
    hosts = {replica.url for replica in engine.replicas or ()}
    assert {f"http://{name}:8000" for name in SERVICES if name.startswith("simulator")} == hosts
    assert settings.data_dir == "/var/lib/penstock"


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", ())]
    files = [path for path in mounted if path.startswith("./")]
    assert len(files) >= 5
    assert [] == [path for path in files if not (ROOT / path).exists()]
    assert {path for path in mounted if not path.startswith("./")} == set(COMPOSE["volumes"])


def test_ports_are_published_on_loopback_alone_and_images_are_pinned() -> None:
    ports = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]
    tags = {one["image"].partition(":")[2] for one in SERVICES.values()}
    assert not {"", "latest"} & tags
    assert f"penstock:{VERSION}" == SERVICES["gateway"]["image"]


def test_a_stream_gets_its_grace_and_what_ending_takes() -> None:
    grace_s = load_settings(ROOT / "configs" / "compose" / "penstock.yaml", {}).settings.server.grace_s
    assert f"{grace_s + 15:.0f}s" == SERVICES["gateway"]["stop_grace_period"]


def test_prometheus_scrapes_what_runs_under_the_labels_that_dashboards_choose_by() -> None:
    read = yaml.safe_load((ROOT / "configs" / "compose" / "prometheus.yaml").read_text())
    found = [one for job in read["scrape_configs"] for one in job["static_configs"]]
    assert {target.partition(":")[0] for one in found for target in one["targets"]} == {
        name for name in SERVICES if name == "gateway" or name.startswith("simulator")
    }
    assert {("namespace", "pod")} == {tuple(sorted(one["labels"])) for one in found}
