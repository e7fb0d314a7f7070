"""A model whose policy knows what caches hold: conversations go back to where they were."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenario.gateway import Gateway, document, running_gateway
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio

PEOPLE = [f"person {number}" for number in range(30)]
"""So many that they do not all go to one replica by chance."""


def served_by(*urls: str) -> dict[str, Any]:
    replicas = [{"id": str(number), "url": url} for number, url in enumerate(urls)]
    return document(
        engines={"e": {"kind": "openai", "replicas": replicas}},
        models={"chat": {"targets": [{"engine": "e"}], "policy": {"name": "prefix"}}},
    )


def opening(name: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": f"You are {name}. " * 200}, {"role": "user", "content": "Begin."}]


async def said(gateway: Gateway, messages: list[dict[str, str]], **fields: Any) -> str:
    """Who answered."""
    answer = await gateway.chat(messages=messages, **fields)
    assert answer.status_code == 200
    return answer.headers["x-penstock-replica"]


async def test_every_turn_of_a_conversation_goes_where_its_first_went() -> None:
    async with running_upstream() as a, running_upstream() as b, running_upstream() as c:
        async with running_gateway(served_by(a.url, b.url, c.url)) as gateway:
            talks = {name: opening(name) for name in PEOPLE}
            homes = {name: await said(gateway, messages) for name, messages in talks.items()}
            for turn in range(3):
                for name, messages in talks.items():
                    messages += [
                        {"role": "assistant", "content": f"Answer {turn}. " * 20},
                        {"role": "user", "content": f"Question {turn}? " * 20},
                    ]
                    assert await said(gateway, messages) == homes[name]
    assert len(set(homes.values())) > 1


async def test_other_tools_or_another_salt_make_another_prompt() -> None:
    async with running_upstream() as a, running_upstream() as b:
        async with running_gateway(served_by(a.url, b.url)) as gateway:
            home = await said(gateway, opening("Ada"))
            tools = [{"type": "function", "function": {"name": "f"}}]
            more: list[dict[str, Any]] = [{"tools": tools}, *({"cache_salt": name} for name in PEOPLE)]
            others = {await said(gateway, opening("Ada"), **each) for each in more}
            assert {await said(gateway, opening("Ada")) for _ in range(5)} == {home}
    assert others == {"0", "1"}  # what is new goes anywhere


async def test_a_home_that_is_gone_is_replaced_and_nothing_is_lost() -> None:
    async with running_upstream() as a, running_upstream() as b:
        async with running_gateway(served_by(a.url, b.url)) as gateway:
            home = await said(gateway, opening("Ada"))
            assert gateway.plane.drain_replica("e", home)
            await gateway.until(lambda: any(state.draining for state in gateway.worker.fleet.table))
            (other,) = {await said(gateway, opening("Ada")) for _ in range(3)}
            assert gateway.plane.drain_replica("e", home, draining=False)
            await gateway.until(lambda: not any(state.draining for state in gateway.worker.fleet.table))
            assert {await said(gateway, opening("Ada")) for _ in range(10)} <= {home, other}
    assert other != home


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/embeddings"])
async def test_whatever_the_format_the_prompt_is_found(path: str) -> None:
    async with running_upstream() as a, running_upstream() as b:
        async with running_gateway(served_by(a.url, b.url)) as gateway:
            member = "prompt" if path == "/v1/completions" else "input"
            body = {"model": "chat", member: "Once upon a time, " * 300}
            answers = [await gateway.http.post(path, json=body) for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-penstock-replica"] for answer in answers}) == 1
