"""What the chart already speaks of and the gateway does not know yet, in one place.

A name leaves this file when its feature lands: `test_planned` fails while one of them exists.
"""

from __future__ import annotations

import copy
from typing import Any

MODES = ("keda", "hpa")
"""Of `autoscaling.mode`: the chart has templates for them, and refuses them until the gateway takes what they write."""
ESCAPE: dict[str, Any] = {"x-planned": True}
"""Values by which the chart's tests, and nobody else, render those templates all the same."""

METRICS: dict[str, tuple[str, ...]] = {}
"""With their labels."""


def without(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a mode as today's gateway can check it: less what is only planned."""
    known = copy.deepcopy({key: value for key, value in config.items() if key != "autoscale"})
    for engine in known["engines"].values():
        engine.pop("autoscale", None)
    return known
