"""Which models ask which engines before any other, and where their requests wait."""

from __future__ import annotations

from dataclasses import dataclass, field

from routing.waiting.admission import Admission

Lines = dict[Admission, None]
"""Each once, in order: arms may share one."""


@dataclass(slots=True)
class FirstAskers:
    """The same, from either end."""

    by_model: dict[str, tuple[set[str], Lines]] = field(default_factory=dict)
    """The engines of its first tiers, and its lines."""
    by_engine: dict[str, tuple[set[str], Lines]] = field(default_factory=dict)
    """The models that ask it first, and their lines."""
