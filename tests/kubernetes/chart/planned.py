"""What the chart already speaks of and the gateway does not know yet, in one place.

A name leaves this file when its feature lands: `test_planned` fails while one of them exists.
"""

from __future__ import annotations

from typing import Any

MODES = ("gateway",)
"""Of `autoscaling.mode`: the chart has templates for them, and refuses them until they are whole."""
ESCAPE: dict[str, Any] = {"x-planned": True}
"""Values by which the chart's tests, and nobody else, render those templates all the same."""

METRICS: dict[str, tuple[str, ...]] = {}
"""With their labels."""
