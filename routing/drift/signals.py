"""What is watched for drift: the names of amounts and rates, and what each is a rate of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

AMOUNTS: Final = ("input_tokens", "output_tokens", "ttft_ms", "tpot_ms", "cost_usd")
"""Of which there are histograms."""
SCRIPTS: Final = ("latin", "cyrillic", "arabic", "han", "kana", "hangul", "other_script")
"""In which answers are written (`routing.drift.texts`)."""
COUNTED: Final = (
    *("answers", "errors", "length", "refusals", "tool_calls", "told", "thumbs_down"),
    *("texts", "refusal_phrases", "json_asked", "json_invalid", *SCRIPTS),
)
"""What is counted. An answer is one that an engine gave whole; the three after `errors` are of answers. `told` is a yes
or no that an application gave of an answer within the hour, and `thumbs_down` one that is the worse of the two. `texts`
are answers that were read, of a sample, and all after them is of these."""
SCRIPT: Final = "script"
"""The rate of texts in another script than most have in the reference."""
RATES: Final = {
    "errors": "",
    "length": "answers",
    "refusals": "answers",
    "tool_calls": "answers",
    "thumbs_down": "told",
    "refusal_phrases": "texts",
    "json_invalid": "json_asked",
    SCRIPT: "texts",
}
"""The rates, each with what it is a share of; the empty name is all requests."""
BOTH_WAYS: Final = frozenset({"tool_calls", SCRIPT})
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


def trials(block: Sequence[int], name: str, usual: str = "") -> tuple[int, int]:
    """Of one of `RATES` how many there were in a block (`routing.drift.window.Window.ended`), and in how many of them
    it happened; `usual` is the script that most texts have."""
    if name == SCRIPT:
        scripts = {each: block[1 + COUNTED.index(each)] for each in SCRIPTS}
        units = sum(scripts.values())
        return units, units - scripts.get(usual, 0)
    of = RATES[name]
    return block[1 + COUNTED.index(of) if of else 0], block[1 + COUNTED.index(name)]


def usual_script(block: Sequence[int]) -> str:
    """That of most texts; the first where there are none."""
    return max(SCRIPTS, key=lambda each: block[1 + COUNTED.index(each)])


def counts_of(status: int, error: str, finish_reason: str) -> list[str]:
    """What of `COUNTED` a request is; one that its client spoiled is none of them."""
    if error in OURS_NOT or 400 <= status < 500:
        return []
    if error or status >= 500:
        return ["errors"]
    reason = FINISHES.get(finish_reason)
    return ["answers"] if reason is None else ["answers", reason]
