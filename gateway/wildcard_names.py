"""Names of models that stand for many: the beginning of a name and a star. The longest that fits wins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

STAR: Final = "*"


def is_wildcard(name: str) -> bool:
    return name.endswith(STAR)


def label_of(name: str, models: Iterable[str]) -> str:
    """What a name is counted as: names of a wildcard as that, and what nobody serves any more as itself."""
    known = frozenset(models)
    return name if name in known else wildcard_of(name, known) or name


def wildcard_of(name: str, models: Iterable[str]) -> str:
    """The wildcard among `models` that stands for this name; empty for none. A star stands for something."""
    fitting = [
        model for model in models if is_wildcard(model) and name.startswith(model[:-1]) and len(name) >= len(model)
    ]
    return max(fitting, key=len, default="")
