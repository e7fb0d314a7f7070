"""Several keys of one provider: each has its own limits, and one that is refused is told from a request that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from engines.fakes.limits import Limits
from tests.engines.fakes.served import fake
from tests.scenario.gateway import Gateway, one_model, running_gateway

pytestmark = pytest.mark.anyio

KEYS = ["sk-first-key", "sk-second-key", "sk-third-key"]


@contextmanager
def provider(kind: str, requests_per_minute: int = 1000, known: list[str] = KEYS) -> Iterator[dict[str, Any]]:
    with fake(kind, Limits(requests_per_minute), frozenset(known)) as url:
        base = url + {"openai": "/v1", "gemini": "/v1beta"}.get(kind, "")
        yield one_model({"kind": kind, "base_url": base, "api_keys": KEYS})


async def asked(gateway: Gateway, times: int, **more: Any) -> list[tuple[int, str, str]]:
    """Status, replica and attempts of so many requests, one after another."""
    answers = [await gateway.chat(**more) for _ in range(times)]
    return [
        (one.status_code, one.headers.get("x-penstock-replica", "")[-4:], one.headers["x-penstock-attempts"])
        for one in answers
    ]


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_all_keys_are_used_and_none_before_its_limits_refuse(kind: str) -> None:
    with provider(kind, requests_per_minute=8) as settings:
        async with running_gateway(settings) as gateway:
            found = await asked(gateway, 24)
    # What is left goes down with each answer, so the keys take turns, and nobody is ever refused.
    assert {status for status, _, _ in found} == {200}
    assert {attempts for _, _, attempts in found} == {"1"}
    assert Counter(replica for _, replica, _ in found) == {"key1": 8, "key2": 8, "key3": 8}


@pytest.mark.parametrize("kind", ["openai", "gemini", "bedrock", "cohere", "anthropic"])
async def test_keys_whose_limits_are_used_up_stand_aside_until_they_said(kind: str) -> None:
    # Gemini says until when in the body of its refusal alone, Bedrock never: each key is asked in vain once at most.
    with provider(kind, requests_per_minute=2) as settings:
        async with running_gateway(settings) as gateway:
            found = await asked(gateway, 12)
            last = await gateway.chat()
    assert [status for status, _, _ in found] == [200] * 6 + [429] * 6
    assert [attempts for _, _, attempts in found[7:]] == ["1"] * 5
    assert (last.status_code, kind == "bedrock") == (429, "retry-after" not in last.headers)


async def test_a_bad_key_is_passed_over_and_a_bad_request_is_not() -> None:
    with provider("openai", known=KEYS[1:]) as settings:
        async with running_gateway(settings) as gateway:
            found = await asked(gateway, 12)
            bad = await gateway.chat(temperature=9)
            told = (await gateway.chat()).text
    assert {status for status, _, _ in found} == {200}
    assert {replica for _, replica, _ in found} == {"key2", "key3"}
    assert sum(attempts == "2" for _, _, attempts in found) <= 1  # once refused, it is left alone
    assert (bad.status_code, bad.headers["x-penstock-attempts"]) == (400, "1")
    assert "sk-" not in told + bad.text


async def test_with_every_key_refused_the_client_is_told_and_sees_none_of_them() -> None:
    with provider("openai", known=["another"]) as settings:
        async with running_gateway(settings) as gateway:
            answer = await gateway.chat()
    assert (answer.status_code >= 400, answer.headers["x-penstock-attempts"]) == (True, "3")
    assert [key for key in KEYS if key in answer.text] == []
