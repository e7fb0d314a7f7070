"""What is watched for drift: the names of amounts and rates, and what each is a rate of."""

from __future__ import annotations

from typing import Final

AMOUNTS: Final = ("input_tokens", "output_tokens", "ttft_ms", "tpot_ms", "cost_usd")
"""Of which there are histograms."""
COUNTED: Final = ("answers", "errors", "length", "refusals", "tool_calls", "told", "thumbs_down")
"""What is counted. An answer is one that an engine gave whole; the three after `errors` are of answers. `told` is a yes
or no that an application gave of an answer within the hour, and `thumbs_down` one that is the worse of the two."""
RATES: Final = {
    "errors": "",
    "length": "answers",
    "refusals": "answers",
    "tool_calls": "answers",
    "thumbs_down": "told",
}
"""The rates, each with what it is a share of; the empty name is all requests."""
BOTH_WAYS: Final = frozenset({"tool_calls"})
"""Of these fewer are watched for, too: an agent that stopped calling its tools is as broken as one that cannot stop."""
FINISHES: Final = {
    "length": "length",
    "content_filter": "refusals",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
"""What a finish reason, as OpenAI spells it, counts for."""
OURS_NOT: Final = frozenset({"client_gone", "client_stalled"})
"""Failures that are the client's own doing."""


def counts_of(status: int, error: str, finish_reason: str) -> list[str]:
    """What of `COUNTED` a request is; one that its client spoiled is none of them."""
    if error in OURS_NOT or 400 <= status < 500:
        return []
    if error or status >= 500:
        return ["errors"]
    reason = FINISHES.get(finish_reason)
    return ["answers"] if reason is None else ["answers", reason]
