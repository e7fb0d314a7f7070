"""What the chart already speaks of and the gateway does not know yet, in one place.

A name leaves this file when its feature lands: `test_planned` fails while one of them exists.
"""

from __future__ import annotations

import copy
from typing import Any

KEYS = frozenset({"admin", "peers", "autoscale"})
"""Of the configuration."""
AUTOSCALE_KEYS = frozenset({"kubernetes"})
"""Of an engine's `autoscale`, which is for servers that the gateway launches until it has them."""

METRICS: dict[str, tuple[str, ...]] = {}
"""With their labels."""


def without(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as today's gateway can check it: less what is only planned."""
    known = copy.deepcopy({key: value for key, value in config.items() if key not in KEYS})
    for engine in known["engines"].values():
        engine.pop("autoscale", None)
    return known
