"""Recorded traffic: when requests came and how long they were. No text, and none of the public data, is here.

`load_trace` is the door; `samples/` holds 200 made-up rows of each format, written by `make_samples.py`.
"""

from loadtests.traces.load import load_trace
from loadtests.traces.trace import BLOCK_TOKENS, Row, Trace, TraceError

__all__ = ["BLOCK_TOKENS", "Row", "Trace", "TraceError", "load_trace"]
