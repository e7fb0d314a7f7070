"""Who leaves, and until when, over a launcher of paper."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

from engines.launch.launched import LaunchState
from gateway.control.scaling.launched import MOST_DRAIN_S, LaunchScaling


class Launcher:
    """Its replicas are ready at once."""

    def __init__(self, count: int) -> None:
        self.launched: list[Any] = []
        self.add(count)

    def add(self, count: int) -> None:
        for number in range(len(self.launched), len(self.launched) + count):
            self.launched.append(SimpleNamespace(id=f"e-{number}", state=LaunchState.READY, failures=0, again_s=0.0))

    def remove(self, ids: Collection[str]) -> None:
        self.launched = [each for each in self.launched if each.id not in ids]

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.launched]


class Bench:
    def __init__(self, count: int) -> None:
        self.launcher = Launcher(count)
        self.drains: dict[str, bool] = {}
        launches: Any = SimpleNamespace(launcher=lambda _: self.launcher, failure=lambda _: "")
        self.scaling = LaunchScaling(launches, self._drain)

    def _drain(self, engine: str, replica: str, draining: bool) -> bool:
        self.drains[replica] = draining
        return True


def test_what_still_streams_is_not_stopped_however_long_it_takes() -> None:
    bench = Bench(3)
    streams = {"e-0": 9, "e-1": 1}
    bench.scaling.scale("e", 1, streams, 0.0)
    assert bench.drains == {"e-1": True, "e-2": True}
    bench.scaling.scale("e", 1, streams, MOST_DRAIN_S)
    assert bench.launcher.ids == ["e-0", "e-1", "e-2"]
    bench.scaling.scale("e", 1, streams, MOST_DRAIN_S + 1.0)
    assert bench.launcher.ids == ["e-0", "e-1"]
    bench.scaling.scale("e", 1, streams, 10.0 * MOST_DRAIN_S)
    assert bench.launcher.ids == ["e-0", "e-1"]
    bench.scaling.scale("e", 1, {"e-0": 9}, 10.0 * MOST_DRAIN_S)
    assert bench.launcher.ids == ["e-0"]


def test_what_drains_when_its_engine_is_released_takes_requests_again() -> None:
    bench = Bench(2)
    bench.scaling.scale("e", 1, {"e-0": 1}, 0.0)
    assert bench.drains == {"e-1": True}
    bench.scaling.release("another")
    assert bench.drains == {"e-1": True}
    bench.scaling.release("e")
    standing = bench.scaling.standing("e", 1.0)
    assert (bench.drains, standing.leaving, standing.ready) == ({"e-1": False}, [], ["e-0", "e-1"])
