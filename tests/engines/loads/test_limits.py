"""What headers tell of a key's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.loads.limits import MOST_RESET_S, USUAL_RESET_S, read_limits


def read(text: str) -> tuple[float, float] | None:
    headers = [
        (name.strip().encode(), value.strip().encode())
        for name, value in (line.split(":", 1) for line in text.split("\n") if line.strip())
    ]
    found = read_limits(headers, lambda: NOW_S)
    return None if found is None else (found.left_ratio, found.reset_s)


OPENAI = """
x-ratelimit-limit-requests: 1000
x-ratelimit-remaining-requests: 900
x-ratelimit-reset-requests: 6m0s
x-ratelimit-limit-tokens: 2000
x-ratelimit-remaining-tokens: 100
x-ratelimit-reset-tokens: 12ms
"""
ANTHROPIC = """
anthropic-ratelimit-requests-limit: 50
anthropic-ratelimit-requests-remaining: 49
anthropic-ratelimit-requests-reset: 2025-03-07T00:00:05Z
anthropic-ratelimit-input-tokens-limit: 1000
anthropic-ratelimit-input-tokens-remaining: 10
anthropic-ratelimit-input-tokens-reset: 2025-03-07T00:00:05Z
"""
NOW_S = 1741305595.0
OPENROUTER = "x-ratelimit-limit: 20\nx-ratelimit-remaining: 0\nx-ratelimit-reset: {reset}"
MISTRAL = """
x-ratelimit-limit-req-minute: 60
x-ratelimit-remaining-req-minute: 30
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OPENAI, (0.05, 0.012)),
        (OPENAI.replace("900", "10"), (0.01, 360.0)),
        (ANTHROPIC, (0.01, 10.0)),
        (ANTHROPIC.replace("2025", "2026"), (0.01, MOST_RESET_S)),
        (ANTHROPIC.replace("05Z", "later"), (0.01, USUAL_RESET_S)),
        ("x-ratelimit-remaining-tokens: 0", (0.0, USUAL_RESET_S)),
        (MISTRAL, (0.5, USUAL_RESET_S)),
        ("x-ratelimit-limit-tokens: -1\nx-ratelimit-remaining-tokens: -1", None),
        ("x-ratelimit-limit-tokens: 0\nx-ratelimit-remaining-tokens: 0", None),
        ("x-ratelimit-remaining-tokens: 5", None),
        ("x-ratelimit-limit-tokens: 10\nx-ratelimit-remaining-tokens: 50", (1.0, USUAL_RESET_S)),
        ("x-ratelimit-limit-tokens: 10\nx-ratelimit-remaining-tokens: 5\nx-ratelimit-reset-tokens: 7", (0.5, 7.0)),
        (
            "x-ratelimit-limit-tokens: 10\nx-ratelimit-remaining-tokens: 5\nx-ratelimit-reset-tokens: 9d",
            (0.5, MOST_RESET_S),
        ),
        (
            "x-ratelimit-limit-tokens: 10\nx-ratelimit-remaining-tokens: 5\nx-ratelimit-reset-tokens: soon",
            (0.5, USUAL_RESET_S),
        ),
        (OPENROUTER.format(reset="1741305600000"), (0.0, 5.0)),
        (OPENROUTER.format(reset="1741305600"), (0.0, 5.0)),
        (OPENROUTER.format(reset="1741305000000"), (0.0, 0.0)),
        (OPENROUTER.format(reset="1741999999999"), (0.0, MOST_RESET_S)),
        (OPENROUTER.format(reset="90"), (0.0, 90.0)),
        ("content-type: text/plain", None),
    ],
)
def test_the_scarcest_is_what_matters(text: str, told: tuple[float, float] | None) -> None:
    assert read(text) == told


NAMES = st.sampled_from(
    [
        f"x-ratelimit-{what}-{of}".encode()
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens", "")
    ]
)


@given(
    st.lists(
        st.tuples(NAMES | st.binary(max_size=30), st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode()))
    )
)
def test_whatever_is_told_is_within_bounds(headers: list[tuple[bytes, bytes]]) -> None:
    found = read_limits(headers, lambda: NOW_S)
    assert found is None or (0.0 <= found.left_ratio <= 1.0 and 0.0 <= found.reset_s <= MOST_RESET_S)
