"""How long an engine may take, where a client has said how long it waits itself (`x-stainless-read-timeout`).

A bound of ours at the client's own would be a coin toss between our answer and its time-out. So ours fires well before
it, while another tier can still answer in time; else a little after it: the client leaves first and frees the engine.
"""

from __future__ import annotations

from typing import Final

from engines.model import Deadlines

SHARE: Final = 0.6
"""Of the time that is left, what an attempt may take of it while a fallback is left."""
GRACE_S: Final = 5.0
"""After the client's own time-out; it has left by then, unless its header is not true."""


def due_s(deadlines: Deadlines, received_s: float) -> float | None:
    """When the client of a request that came at `received_s` gives up; None when it did not say."""
    return None if deadlines.total_s is None else received_s + deadlines.total_s


def within(engine: Deadlines, client: Deadlines, spent_s: float, fallback: bool) -> Deadlines:
    """The bounds of one attempt. The engine's own hold where they are tighter.

    Args:
        client: `first_byte_s` and `idle_s` are its read timeout, infinite where it told none; `total_s` its whole time.
        spent_s: what is gone of the client's time.
        fallback: whether a deeper tier may still be asked.
    """
    first_byte_s, idle_s = engine.first_byte_s, engine.idle_s
    left_s = client.first_byte_s - spent_s
    if fallback:
        first_byte_s = min(first_byte_s, max(0.001, left_s * SHARE))
    elif left_s <= first_byte_s:
        first_byte_s = max(0.0, left_s) + GRACE_S
    if client.idle_s <= idle_s:
        idle_s = client.idle_s + GRACE_S
    total_s = None if client.total_s is None else max(0.001, client.total_s - spent_s)
    return Deadlines(engine.connect_s, first_byte_s, idle_s, total_s)


def seconds(value: bytes | None) -> float | None:
    """What a header says in seconds; None where it says nothing that is a time."""
    if value is None:
        return None
    try:
        told = float(value)
    except ValueError:
        return None
    return told if 0 < told < 1e9 else None
