"""What the chart already speaks of and the gateway does not know yet, in one place.

A name leaves this file when its feature lands: `test_planned` fails while one of them exists.
"""

from __future__ import annotations

import copy
from typing import Any

KEYS = frozenset({"admin", "peers", "autoscale"})
"""Of the configuration."""
ENGINE_KEYS = frozenset({"autoscale"})
"""Of an engine in it."""

METRICS = {
    "penstock_replicas_wanted": ("engine",),
}
"""With their labels."""


def without(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as today's gateway can check it: less what is only planned."""
    known = copy.deepcopy({key: value for key, value in config.items() if key not in KEYS})
    for engine in known["engines"].values():
        for key in ENGINE_KEYS:
            engine.pop(key, None)
    return known
