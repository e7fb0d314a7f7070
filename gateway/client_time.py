"""What clients say of their own time and of their haste; and how long an engine may take, where one has said how long
it waits itself (`x-stainless-read-timeout`).

A bound of ours at the client's own would be a coin toss between our answer and its time-out. So ours fires well before
it, while another tier can still answer in time; else a little after it: the client leaves first and frees the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.model import Deadlines
from gateway.errors import Failure

if TYPE_CHECKING:
    from gateway.http.head import Fields

SHARE: Final = 0.6
"""Of the time that is left, what an attempt may take of it while a fallback is left."""
GRACE_S: Final = 5.0
"""After the client's own time-out; it has left by then, unless its header is not true."""

MAX_TIMEOUT_MS: Final = 24 * 3600 * 1000
MOST_DIGITS: Final = 4
MOST_READ_TIMEOUTS: Final = 64
"""An SDK says one value with every request; whoever says a new one each time fills no more than this."""


class ClientTimes:
    """What the heads of requests say of their clients' time. Belongs to the event loop."""

    __slots__ = ("_read_timeouts",)

    def __init__(self) -> None:
        self._read_timeouts: Final[dict[bytes, Deadlines]] = {}

    def deadlines(self, fields: Fields) -> Deadlines | None:
        """None where the client says nothing of it. Raises Failure for what is no time."""
        total = fields.get(b"x-request-timeout-ms")
        read = fields.get(b"x-stainless-read-timeout")
        if total is None:
            return None if read is None else self._reading(read)
        if not total.isdigit() or len(total) > 12 or not 1 <= int(total) <= MAX_TIMEOUT_MS:
            raise Failure("invalid_field", f"x-request-timeout-ms must be a whole number from 1 to {MAX_TIMEOUT_MS}")
        bound = seconds(read) or float("inf")
        return Deadlines(float("inf"), bound, bound, int(total) / 1e3)

    def _reading(self, value: bytes) -> Deadlines | None:
        """The bounds of a client that waits so long for each byte: made once for all that say the same."""
        known = self._read_timeouts.get(value)
        if known is None:
            bound = seconds(value)
            if bound is None:
                return None
            known = Deadlines(float("inf"), bound, bound)
            if len(self._read_timeouts) < MOST_READ_TIMEOUTS and len(value) <= 16:
                self._read_timeouts[value] = known
        return known


def priority(fields: Fields) -> int | None:
    """What a client asks for, None where it does not; its key's own is the most that it gets. Raises Failure."""
    value = fields.get(b"x-penstock-priority")
    if value is None:
        return None
    digits = value[1:] if value[:1] == b"-" else value
    if not digits.isdigit() or len(digits) > MOST_DIGITS:
        raise Failure("invalid_field", "x-penstock-priority must be a whole number; below 0 takes idle capacity only")
    return int(value)


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
