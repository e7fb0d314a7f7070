"""What the chart already speaks of and the gateway does not know yet, in one place.

A name leaves this file when its feature lands: `test_planned` fails while one of them exists.
"""

from __future__ import annotations

import copy
from typing import Any

KEYS = frozenset({"admin", "peers", "autoscale"})
"""Of the configuration."""
ENGINE_KEYS = frozenset({"discover", "autoscale"})
"""Of an engine in it."""

METRICS = {
    "penstock_drift": ("model", "arm", "signal"),
    "penstock_replicas_wanted": ("engine",),
}
"""With their labels."""


def without(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as today's gateway can check it: a discovered engine gets an address in place of the search."""
    known = copy.deepcopy({key: value for key, value in config.items() if key not in KEYS})
    for engine in known["engines"].values():
        if "discover" in engine:
            engine["replicas"] = [{"url": "http://10.0.0.1:8000"}]
        for key in ENGINE_KEYS:
            engine.pop(key, None)
    return known
