"""Decisions about replicas are kept beside the loop of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.store.database.port import DatabaseAway, DatabaseRefused
from gateway.store.messages import State
from gateway.store.scalings.messages import KeepScalings, ScalingsKept
from gateway.store.scalings.table import keep


async def kept(state: Callable[[], Awaitable[State]], url: str, message: KeepScalings) -> ScalingsKept:
    """Keep them, where the store can be used."""
    how = await state()
    if how.refused or how.away:
        return ScalingsKept(how.refused or how.away)
    try:
        await asyncio.to_thread(keep, url, message)
    except (DatabaseAway, DatabaseRefused) as error:
        return ScalingsKept(str(error))
    return ScalingsKept()
