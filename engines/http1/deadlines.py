"""When a call is late, and who is to blame for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.errors import ClientStalled, EngineError, FirstByteTimeout, IdleTimeout, TotalTimeout

if TYPE_CHECKING:
    from engines.http1.call import Call


def ahead(call: Call, now: float, within_s: float) -> float:
    """The loop time `within_s` from now, or the end of the caller's whole time if that is earlier."""
    total_s = call.deadlines.total_s
    deadline = now + within_s
    return deadline if total_s is None else min(deadline, call.started_at + total_s)


def left_s(call: Call, now: float, within_s: float) -> float:
    """The seconds to that time: `within_s` to the last bit unless the caller's whole time ends earlier, so that the two
    can be told apart (a sum less one of its parts is not always the other)."""
    total_s = call.deadlines.total_s
    return within_s if total_s is None else min(within_s, max(0.0, call.started_at + total_s - now))


def overdue(call: Call, now: float, *, paused: bool, begun: bool) -> EngineError:
    """Why the call ends, now that its deadline has passed. `begun`: a body byte has come."""
    deadlines = call.deadlines
    if deadlines.total_s is not None and now >= call.started_at + deadlines.total_s:
        return TotalTimeout(f"no complete answer within {deadlines.total_s:g} s")
    if paused:
        return ClientStalled(f"the client read nothing for {deadlines.idle_s:g} s")
    if begun:
        return IdleTimeout(f"the engine sent nothing for {deadlines.idle_s:g} s")
    return FirstByteTimeout(f"the engine sent no answer within {deadlines.first_byte_s:g} s")
