"""Anthropic Messages (anthropic types/*, _streaming.py), which vLLM also serves.

A stream is message_start (with the input's usage), content blocks, message_delta (stop_reason and cumulative usage)
and message_stop; `ping` and `error` may come at any time. Usage counts exclude what the cache served, so we add it.
"""

from engines.wire.anthropic_messages.dialect import COUNTING, DIALECT

__all__ = ["COUNTING", "DIALECT"]
