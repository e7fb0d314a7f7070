"""Records for the store, and a store to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.accounts.record import RequestRecord
from gateway.store.database.opening import engine_of
from gateway.store.database.port import Records
from gateway.store.messages import Batch
from gateway.store.reports.requests import Wanted, found
from gateway.store.reports.sums import WantedSums, report
from gateway.store.sending.carried import carried

NOON_S = 1_780_000_000.0
"""Some moment, in Unix seconds."""


class Made:
    """Records of one worker, one after the other."""

    def __init__(self, run: str = "0123456789ab") -> None:
        self.run = run
        self._count = 0
        self._batches = 0
        self.all: list[RequestRecord] = []

    def one(self, at_s: float = NOON_S, **changes: Any) -> RequestRecord:
        """A priced chat answer, with changes."""
        self._count += 1
        record_id = f"{int(at_s * 1000):012x}7{self.run[:3]}8{self.run[3:]}{self._count:06x}"
        fields: dict[str, Any] = {
            "time": "2026-05-28T20:26:40.000Z",
            "request_id": f"0000000{self._count % 10}-0000-4000-8000-{self._count:012}",
            "record_id": record_id,
            "operation": "/v1/chat/completions",
            "model": "chat",
            "status": 200,
            "duration_ms": 250.0,
            "engine": "llama",
            "replica": "10.0.0.1:8000",
            "arm": "control",
            "upstream_model": "llama-8b",
            "attempts": 1,
            "finish_reason": "stop",
            "input_tokens": 100,
            "output_tokens": 20,
            "usage_source": "reported",
            "cost_usd": 0.000125,
            "key_id": "app",
            "tenant": "shop",
            **changes,
        }
        made = RequestRecord(**fields)
        self.all.append(made)
        return made

    def some(self, count: int, **changes: Any) -> Records:
        return Records(self.run, [self.one(**changes) for _ in range(count)])

    def batch(self, records: Records) -> Batch:
        """As a worker sends it."""
        self._batches += 1
        return Batch(self.run, self._batches, [carried(records.records)], len(records.records))


def stored(url: str, wanted: Wanted | None = None, *, content: bool = False) -> list[dict[str, Any]]:
    """What the store has, newest first."""
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            return list(found(connection, wanted or Wanted(limit=None), content=content))
    finally:
        engine.dispose()


def sums(url: str, *by: str) -> list[dict[str, Any]]:
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            return report(connection, WantedSums(by))
    finally:
        engine.dispose()


def sqlite_url(directory: Path) -> str:
    return f"sqlite:///{directory / 'records.db'}"
