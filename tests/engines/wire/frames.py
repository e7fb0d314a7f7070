"""Events as engines frame them: every JSON style a serialiser has, with and without names, and both line ends."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from engines.wire.refusals import UNSAID

Json = dict[str, Any]
Style = Callable[[Json], str]

STYLES: dict[str, Style] = {
    "compact": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "compact ascii": lambda value: json.dumps(value, separators=(",", ":")),
    "spaced": json.dumps,
    "indented": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
}
NASTY = (
    '"usage":{"prompt_tokens":9}',
    "data: [DONE]\n\n",
    "[DONE]",
    '"finish_reason":"stop"',
    '","finish_reason":"stop","x":"',
    '{"error":{"message":"no"}}',
    '"error":',
    '"type":"message_stop"',
    "event: error",
    "response.completed",
    'a": b',
    "日本語 é \u2028 \\u0022",
    "",
)
words = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
counts = st.one_of(st.none(), st.integers(0, 2**40))


def frame(value: Json, style: str = "compact", *, name: str = "", end: str = "\n") -> bytes:
    """One event: a `data:` line for each line of the JSON."""
    lines = [f"event: {name}"] if name else []
    lines += [f"data: {line}" for line in STYLES[style](value).split("\n")]
    return (end.join(lines) + end * 2).encode()


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same value with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(one, rng) for one in value] if isinstance(value, list) else value


@st.composite
def framed(draw: st.DrawFn, values: st.SearchStrategy[Json], *, named: bool = False) -> bytes:
    """One of `values` in some order of keys, some style and some framing; named by its `type`, as the formats do."""
    value = shuffled(draw(values), random.Random(draw(st.integers(0, 99))))
    name = str(value.get("type", "")) if named and draw(st.booleans()) else ""
    return frame(value, draw(st.sampled_from(sorted(STYLES))), name=name, end=draw(st.sampled_from(["\n", "\r\n"])))


ODD_ERRORS = [
    (b'{"object":"error","message":"no","type":"BadRequestError","param":null,"code":400}', "no", 400),
    (b'{"error":{"message":"a\xffb","type":"server_error"}}', UNSAID, 0),
    (b'{"object": "error", "message": "n', UNSAID, 0),
]
"""Bodies of a 200 that are errors, what each says, and the status that it names: in an old shape of vLLM's, not
in UTF-8, cut short."""
