"""Simulators that are launched and follow their traffic, for the tests of this folder and for the bench."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.scenario.gateway import Gateway, document


def scaled(data_dir: Any, models: Any = None, engines: Any = None, *, startup_s: float = 0.5, **of: Any) -> Any:
    """A document with the engine `sim` and the model `chat`; `of` are fields of the engine."""
    autoscale = {"min": 0, "max": 3, "concurrency": 2, "startup_s": 1, **of.pop("autoscale", {})}
    sim = {"kind": "simulator", "ttft_ms": 5, "itl_ms": 5, "tokens": 10, "startup_delay_s": startup_s, **of}
    return document(
        engines={"sim": {**sim, "autoscale": autoscale}, **(engines or {})},
        models=models or {"chat": {"targets": [{"engine": "sim"}]}},
        data_dir=str(data_dir),
    )


def standing(gateway: Gateway) -> dict[str, Any]:
    """How the first engine stands."""
    return gateway.plane.autoscaling.status()[0]


async def looked(gateway: Gateway, **wanted: int) -> None:
    """Until the engine's replicas are so."""
    async with asyncio.timeout(60):
        while {name: standing(gateway)[name] for name in wanted} != wanted:
            await asyncio.sleep(0.05)
