"""What a metric is: its name, its labels, and how the values of two workers become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


def add(left: float, right: float) -> float:
    """Each worker has its own."""
    return left + right


def most(left: float, right: float) -> float:
    """One fact that several may report, or the worst of theirs."""
    return max(left, right)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric under its public name; dashboards rely on it."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    text: str
    """Its HELP."""
    labels: tuple[str, ...] = ()
    """A label called `model` is bounded by the configuration: `gateway.telemetry.metrics.counting` sees to it."""
    combine: Callable[[float, float], float] = add


def counter(name: str, text: str, *labels: str) -> Family:
    """A number that only grows; of several workers the sum."""
    return Family(name, "counter", text, labels)


def gauge(name: str, text: str, *labels: str, combine: Callable[[float, float], float]) -> Family:
    return Family(name, "gauge", text, labels, combine)
