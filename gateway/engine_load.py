"""What an engine tells of its load with an answer, where a request has asked it to, taken to its replica.

vLLM tells it before prefill, so while the request is still among those that it counts. The loop over all replicas
(`gateway.control.asking.loads`) hears the same less often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.loads.header import HEADER, read_header
from gateway import clock

if TYPE_CHECKING:
    from engines.port import Headers
    from gateway.fleet.snapshot import Upstream

EVERY_S: Final = 0.25
"""Of one replica, by one worker. What the engine has to do for it is told in `engines.loads.header`."""


def due(upstream: Upstream, now: float) -> bool:
    """Whether this request is to ask; the next one that is comes `EVERY_S` later."""
    state = upstream.endpoint.state
    if now < state.ask_load_s:
        return False
    state.ask_load_s = now + EVERY_S
    return True


def heard(upstream: Upstream, headers: Headers) -> None:
    """The head of the answer to a request that has asked."""
    for name, value in headers:
        if name == HEADER:
            load = read_header(value)
            if load is not None:
                upstream.endpoint.state.tell(load.running, load.waiting, load.kv_usage, clock.monotonic())
            return
