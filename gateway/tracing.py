"""The trace that a request is part of: the client's, or one of its own (W3C Trace Context).

Made where spans are: without an exporter the client's `traceparent` passes to the engine as it came. With one, our span
of the request is the child of the client's, each attempt has a span below that, and the engine is told the attempt's,
so that what it traces hangs there. Whether spans are sent is decided here, once, and told to the engine.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engines.port import Outgoing
    from gateway.attempt import Attempt
    from gateway.telemetry.sampling import Sampling

_traceparent: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
).fullmatch
_SAMPLED: Final = 0x01


def trace_id_of(traceparent: bytes | None) -> str:
    """The trace that a client's header names, as 32 hex digits; empty where it names none."""
    found = None if traceparent is None else _traceparent(traceparent)
    return "" if found is None else found[1].decode()


class Trace:
    """One request's place in its trace. Ids are lower-case hex digits."""

    __slots__ = ("_tracing", "parameters", "parent_id", "sampled", "span_id", "trace_id")

    def __init__(self, tracing: Tracing, trace_id: bytes, parent_id: bytes, span_id: bytes, sampled: bool) -> None:
        self._tracing = tracing
        self.trace_id = trace_id
        self.parent_id = parent_id
        """The client's span; empty where it told none."""
        self.span_id = span_id
        self.sampled = sampled
        self.parameters: dict[str, int | float] | None = None
        """What the request asks of the model's sampling, for its spans."""

    def hides(self, name: bytes) -> bool:
        """Whether this header of the client does not go up: ours takes its place, or there is nothing it belongs to."""
        return name == b"traceparent" or (name == b"tracestate" and not self.parent_id)

    def enter(self, attempt: Attempt, outgoing: Outgoing) -> None:
        """The attempt has a span of its own, and what is sent names it."""
        attempt.span_id = span_id = self._tracing.new_span_id()
        outgoing.headers += b"traceparent: 00-%b-%b-%b\r\n" % (self.trace_id, span_id, b"01" if self.sampled else b"00")


class Tracing:
    """Begins traces. One for each worker."""

    __slots__ = ("_rng", "_sampling")

    def __init__(self, sampling: Sampling, rng: random.Random | None = None) -> None:
        self._sampling = sampling
        self._rng = rng or random.Random()  # noqa: S311 - ids must differ, and guard nothing

    def begin(self, fields: Mapping[bytes, bytes]) -> Trace:
        """The trace of a request with these headers."""
        sampling = self._sampling
        told = fields.get(b"traceparent")
        found = None if told is None else _traceparent(told)
        if found is None:
            number = self._rng.getrandbits(128) or 1
            return Trace(self, b"%032x" % number, b"", self.new_span_id(), sampling.of_root(number))
        trace_id: bytes = found[1]
        sampled = sampling.of_child(int(trace_id, 16), bool(int(found[3], 16) & _SAMPLED))
        return Trace(self, trace_id, found[2], self.new_span_id(), sampled)

    def new_span_id(self) -> bytes:
        """Of no other span."""
        return b"%016x" % (self._rng.getrandbits(64) or 1)
