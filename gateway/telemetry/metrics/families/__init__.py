"""A file per family of metrics; to add one is to add a file.

Each has `FAMILIES`, what it declares. Most are counted or read by name (`Metrics.count`, `watch`), and the exposition
knows how to write them. One that is taken from `Series`, or from the process ids of the gateway, writes itself by
`lines(all_series, pids)`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping

from gateway.telemetry.metrics.family import Family
from gateway.telemetry.metrics.series import Series

Lines = Callable[[list[Series], tuple[int, ...]], Iterator[str]]


def _found() -> Iterator[tuple[tuple[Family, ...], Lines | None]]:
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        yield module.FAMILIES, getattr(module, "lines", None)


_FOUND = tuple(_found())

BY_NAME: Mapping[str, Family] = {family.name: family for families, _ in _FOUND for family in families}
WRITTEN_BY_THEMSELVES: tuple[Lines, ...] = tuple(lines for _, lines in _FOUND if lines is not None)
BY_LABELS: tuple[Family, ...] = tuple(family for families, lines in _FOUND if lines is None for family in families)
"""Kept by name and labels, one value each."""
