"""How much an object keeps: what tests of long lives count."""

from __future__ import annotations

import gc
from collections import deque
from types import FunctionType, ModuleType
from typing import Any

COLLECTIONS = (dict, list, set, frozenset, tuple, deque)


def kept_by(root: Any) -> int:
    """How many members all collections have together that are reached from `root`; classes, modules and what functions
    know of their modules are no part of it."""
    seen, waiting, count = {id(root)}, [root], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, (type, ModuleType)):
            continue
        if isinstance(one, COLLECTIONS):
            count += len(one)
        skipped = id(one.__globals__) if isinstance(one, FunctionType) else 0
        for other in gc.get_referents(one):
            if id(other) not in seen and id(other) != skipped:
                seen.add(id(other))
                waiting.append(other)
    return count
