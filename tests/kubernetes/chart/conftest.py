"""Everything below this folder runs Helm, and is found only where there is one: by `make test-helm`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.kubernetes.chart.helm import HELMS

HERE = Path(__file__).parent

if not Path(sys.executable).with_name("helm4").is_file():
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.helm)


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    """Helm 3, then Helm 4."""
    return str(request.param)
