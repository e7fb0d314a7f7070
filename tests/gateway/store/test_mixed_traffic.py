"""Cancellations, retries and fallbacks cost what they cost, and records, report and counters say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.store.records import stored
from tests.timing.reconciliation import disturbed, reloads

pytestmark = [pytest.mark.store, pytest.mark.anyio]

COUNT = 600


async def test_traffic_of_every_kind_reconciles_over_a_reload(tmp_path: Path) -> None:
    found = await disturbed(tmp_path, COUNT, lambda gateway: reloads(gateway, 0.5), workers=2)
    assert (len(found.answered), len(found.records), found.missing, found.lost) == (COUNT, COUNT, 0, 0)
    assert found.of_records == found.of_report
    assert found.counted is not None
    assert found.as_counted
    assert all(found.mixed)
    records = stored(f"sqlite:///{tmp_path / 'data' / 'records.db'}")
    tiers = {record["engine"]: {one["engine"] for one in record["tries"] or ()} for record in records}
    assert tiers["far"] == {"near", "beside", "far"}
    assert {record["status"] for record in records} == {200, 499}
