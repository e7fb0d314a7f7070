"""Everything below this folder runs Helm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kubernetes.chart.helm import HELMS

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.helm)


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    """Helm 3, then Helm 4."""
    return str(request.param)
