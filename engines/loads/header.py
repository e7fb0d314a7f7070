"""The load that an engine tells with an answer: the header of ORCA (Open Request Cost Aggregation).

vLLM sends it when the request asks for it:

    endpoint-load-metrics: TEXT named_metrics.kv_cache_usage_perc=0.25, named_metrics.num_requests_waiting=3.0
    endpoint-load-metrics: JSON {"named_metrics": {"kv_cache_usage_perc": 0.25, "num_requests_waiting": 3.0}}

To make it vLLM collects all its metrics anew, which is milliseconds of its API server: ask now and then, not always.
"""

from __future__ import annotations

import re
from typing import Final

from engines.loads.load import EngineLoad

ASK: Final = b"endpoint-load-metrics-format: TEXT\r\n"
HEADER: Final = b"endpoint-load-metrics"
MOST_BYTES: Final = 4096

_NUMBER: Final = rb"([0-9]{1,15}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?)"
_WAITING: Final = re.compile(rb'\bnum_requests_waiting"?\s{0,4}[=:]\s{0,4}' + _NUMBER + rb"\s{0,4}(?:[,}]|$)")
_RUNNING: Final = re.compile(rb'\bnum_requests_running"?\s{0,4}[=:]\s{0,4}' + _NUMBER + rb"\s{0,4}(?:[,}]|$)")
_USAGE: Final = re.compile(rb'\b(?:kv|gpu)_cache_usage_perc"?\s{0,4}[=:]\s{0,4}' + _NUMBER + rb"\s{0,4}(?:[,}]|$)")
_MOST_REQUESTS: Final = 1e9


def read_header(value: bytes) -> EngineLoad | None:
    """What the header's value tells, in either format; None where that is nothing. Never raises."""
    value = value[:MOST_BYTES]
    waiting, running, usage = _number(_WAITING, value), _number(_RUNNING, value), _number(_USAGE, value)
    if usage is not None and usage > 1.0:
        usage = None
    if waiting is None and running is None and usage is None:
        return None
    return EngineLoad(_count(running), _count(waiting), usage)


def _number(pattern: re.Pattern[bytes], value: bytes) -> float | None:
    found = pattern.search(value)
    return None if found is None else float(found[1])


def _count(number: float | None) -> int | None:
    return None if number is None or number > _MOST_REQUESTS else int(number)
