"""Live fleets without a network: nothing is ever sent, so nothing connects."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from gateway.fleet.live import LiveFleet
from gateway.fleet.members import Member
from gateway.fleet.prepared import Prepared, prepare
from gateway.fleet.snapshot import Snapshot
from gateway.fleet.steps import at_once
from gateway.settings import load_settings
from gateway.telemetry.metrics import Metrics


def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    raise AssertionError(f"{name}: nothing here needs a task")


class Fleets:
    """A live fleet, and what it has published."""

    def __init__(self) -> None:
        self.metrics = Metrics(())
        self.published: list[Snapshot] = []
        self.live = LiveFleet(self.metrics, spawn, self.published.append)

    @property
    def snapshot(self) -> Snapshot:
        return self.published[-1]

    def prepared(self, text: str, environ: dict[str, str] | None = None) -> Prepared:
        return prepare(load_settings(text, environ or {}), self.live.pools.contexts, self.live.prepared)

    def configure(self, text: str, members: Iterable[Member] = ()) -> None:
        at_once(self.live.configure(self.prepared(text), members))

    def change(self, *members: Member) -> None:
        at_once(self.live.change(members))
