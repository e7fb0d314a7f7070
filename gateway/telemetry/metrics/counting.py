"""The numbers of one worker. Families outside `Series` are counted by name and labels: rare, so a look-up does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from gateway.telemetry.metrics.family import Family
from gateway.telemetry.metrics.snapshot import AT_ONCE, Key, MetricsSnapshot, Sample, combine, finished, sampling
from gateway.telemetry.metrics.tally import Tally
from gateway.wildcard_names import is_wildcard, wildcard_of

OTHER = "other"
"""The label of every model outside the configuration."""

SERIES_AT_ONCE = 32
"""Series to a step."""

Reading = Iterable[tuple[tuple[str, ...], float | None]]
"""(label values, value) pairs of one family. Whoever has a great many reads them one by one: loops turn in between.
None stands for one that has none to show, so that they turn where thousands have none, too."""


class Metrics:
    """The numbers of this worker. Not thread-safe: everything here belongs to the event loop's thread."""

    def __init__(self, models: Iterable[str]) -> None:
        """`models` are the configured public names; assign `models` again when a reload changes them."""
        self.models = frozenset(models)
        self._tallies: dict[tuple[str, str, str], Tally] = {}
        self._counters: dict[Key, float] = {}
        self._gauges: list[tuple[Family, Callable[[], Reading]]] = []
        self._counts: list[tuple[Family, Callable[[], Reading]]] = []

    @property
    def models(self) -> frozenset[str]:
        """The configured public names, which may be wildcards."""
        return self._models

    @models.setter
    def models(self, models: frozenset[str]) -> None:
        self._models = models
        self._wildcards = tuple([model for model in models if is_wildcard(model)])

    def series(self, model: str, engine: str = "", arm: str = "") -> Tally:
        """What counts the one series of these labels. `engine` and `arm` are configured names, or empty when none was
        reached."""
        key = self._model(model), engine, arm
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(*key)
        return tally

    def count(self, family: Family, *labels: str, by: float = 1) -> None:
        """Add to a counter; `by` 0 shows it before its first, which an alert could not see else."""
        key = family.name, self._bounded(family, labels)
        self._counters[key] = self._counters.get(key, 0) + by

    def forget(self, family: Family, *labels: str) -> None:
        """Show a counter of these labels no more: what they name is gone, and others of other names will come for as
        long as the process lives. Unknown labels are fine."""
        self._counters.pop((family.name, self._bounded(family, labels)), None)

    def watch(self, gauge: Family, read: Callable[[], Reading]) -> None:
        """Ask `read` for the gauge's current values at every snapshot.

        Reading late is what survives a reload: `read` looks at the current state, and what is gone is not reported.

        Raises ValueError when it is no gauge.
        """
        if gauge.type != "gauge":
            raise ValueError(f"{gauge.name} is a {gauge.type}")
        self._gauges.append((gauge, read))

    def watch_count(self, counter: Family, labels: tuple[str, ...], read: Callable[[], int]) -> None:
        """Ask `read` at every snapshot how often something has happened since the process started."""
        self.watch_counts(counter, lambda: [(labels, read())])

    def watch_counts(self, counter: Family, read: Callable[[], Reading]) -> None:
        """Ask `read` at every snapshot how often something has happened, under which labels, since the process started.

        Raises ValueError when it is no counter.
        """
        if counter.type != "counter":
            raise ValueError(f"{counter.name} is a {counter.type}")
        self._counts.append((counter, read))

    def snapshot(self) -> MetricsSnapshot:
        """A copy of everything at this moment."""
        return finished(self.reading())

    def reading(self) -> Generator[None, None, MetricsSnapshot]:
        """The same in steps."""
        series = []
        for at, key in enumerate(sorted(self._tallies), 1):
            series.append(self._tallies[key].series())
            if at % SERIES_AT_ONCE == 0:
                yield
        return MetricsSnapshot(series, *(yield from self.read_others()))

    def tallies(self) -> list[Tally]:
        """What counts every series."""
        return list(self._tallies.values())

    def others(self) -> tuple[list[Sample], list[Sample]]:
        """The counters and the gauges that belong to no series, at this moment."""
        return finished(self.read_others())

    def read_others(self) -> Generator[None, None, tuple[list[Sample], list[Sample]]]:
        """The same in steps: a family that is watched may have a sample for each replica."""
        gauges: dict[Key, float] = {}
        counters = self._counters.copy()
        for into, watched in ((gauges, self._gauges), (counters, self._counts)):
            for family, read in watched:
                for at, (labels, value) in enumerate(read(), 1):
                    if value is not None:
                        combine(into, (family.name, labels), value)
                    if at % AT_ONCE == 0:
                        yield
                yield
        return (yield from sampling(counters)), (yield from sampling(gauges))

    def _model(self, model: str) -> str:
        """Names of a wildcard are counted as that."""
        if model in self._models:
            return model
        return (wildcard_of(model, self._wildcards) if self._wildcards else "") or OTHER

    def _bounded(self, family: Family, labels: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            self._model(value) if name == "model" else value for name, value in zip(family.labels, labels, strict=True)
        )
