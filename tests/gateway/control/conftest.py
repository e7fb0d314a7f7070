"""One plane with two fake workers, and what it logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.gateway.control.fakes import Control


@pytest.fixture
def quiet() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
async def gateway(tmp_path: Path, quiet: list[Any]) -> AsyncIterator[Control]:
    gateway = Control(tmp_path / "penstock.yaml")
    await gateway.start()
    yield gateway
    await gateway.supervisor.close()
