"""What is kept of a replica's load."""

from __future__ import annotations

import gc

from engines.loads import EngineLoad


def test_the_garbage_collector_looks_at_none_of_them() -> None:
    """Thousands replace others between two passes, which look at all that is young."""
    assert not gc.is_tracked(EngineLoad(1, 2, 0.5, adapters=("sql",)))
