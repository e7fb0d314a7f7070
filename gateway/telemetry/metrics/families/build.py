"""Which version runs, and how it was built."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.telemetry.metrics.family import gauge, most
from gateway.telemetry.metrics.series import Series
from gateway.telemetry.metrics.text import head
from gateway.version import PYTHON, VERSION, build

BUILD_INFO = gauge(
    "penstock_build_info",
    "Always 1; the labels say which version runs, as compiled or as Python.",
    *("build", "python", "version"),
    combine=most,
)
_LINE = f'{BUILD_INFO.name}{{build="{build()}",python="{PYTHON}",version="{VERSION}"}} 1\n'

FAMILIES = (BUILD_INFO,)


def lines(_all_series: list[Series], _pids: tuple[int, ...]) -> Iterator[str]:
    yield head(BUILD_INFO) + _LINE
