"""What is known of public models: from engines' lists, from the shortest context, and for as long as it is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from engines.errors import ConnectFailed
from engines.model_list import LAST_S, ListedModel, models_in
from gateway.control.asking.model_cards import AGAIN_S, ModelCards
from gateway.settings import load_settings
from gateway.workers.exchange.messages import ModelCard, ModelsKnown
from tests.gateway.flights import FakeEngine, StepClock
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio
SETTINGS = load_settings(
    """
engines:
  a: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}]}
  b: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}]}
models:
  chat: {targets: [{engine: a, model: llama}, {engine: b, model: llama}]}
  other: {targets: [{engine: b, model: nobody}]}
""",
    {},
).settings


class Listing(FakeEngine):
    def __init__(self, name: str, **models: ListedModel) -> None:
        super().__init__(name, 2, (), True)
        self.listed: Mapping[str, ListedModel] | None = models
        self.away = False
        self.asked: list[str] = []

    async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
        self.asked.append(replica_id)
        if self.away:
            raise ConnectFailed("refused")
        return self.listed


class Case:
    def __init__(self) -> None:
        self.a = Listing("a", llama=ListedModel(100, "", 8192))
        self.b = Listing("b", llama=ListedModel(200, "vllm", 4096))
        self.told: list[ModelsKnown] = []
        self.clock = StepClock()
        engines = [("a", self.a), ("b", self.b)]
        self.cards = ModelCards(lambda: engines, lambda: SETTINGS, self.told.append, self.clock, self.wall)

    def wall(self) -> float:
        return 1_700_000_000.5 + self.clock.now_s

    @property
    def since(self) -> int:
        """When the models were configured, in a test that began now."""
        return int(self.wall())


async def test_a_card_has_the_first_times_and_owner_and_the_shortest_context() -> None:
    case = Case()
    await case.cards.look(())
    assert [ModelsKnown([ModelCard("chat", 100, "vllm", 4096), ModelCard("other", case.since, "", 0)])] == case.told


async def test_a_model_of_which_no_engine_tells_was_made_when_it_was_first_configured() -> None:
    case = Case()
    since = case.since
    first = case.cards.current()
    case.clock.now_s += AGAIN_S
    await case.cards.look(())
    assert [ModelCard("chat", since, "", 0), ModelCard("other", since, "", 0)] == first.cards
    assert [100, since] == [card.created for card in case.told[-1].cards]
    assert case.told[-1] == case.cards.current()


async def test_engines_are_asked_again_after_a_minute_and_only_news_is_told() -> None:
    case = Case()
    for _ in range(3):
        await case.cards.look(())
    assert (1, 1) == (len(case.a.asked), len(case.told))
    case.clock.now_s += AGAIN_S
    case.b.listed = {"llama": ListedModel(200, "vllm", 2048)}
    await case.cards.look(())
    assert (2, 2048) == (len(case.a.asked), case.told[-1].cards[0].max_model_len)


async def test_what_was_said_stands_while_an_engine_is_away_and_it_is_asked_each_round() -> None:
    case = Case()
    await case.cards.look(())
    case.cards.forget()
    case.a.away = case.b.away = True
    await case.cards.look(())
    await case.cards.look(())
    assert (3, 1) == (len(case.a.asked), len(case.told))


async def test_a_replica_that_is_down_is_not_asked() -> None:
    case = Case()
    down = [("a", replica.id) for replica in case.a.replicas]
    await case.cards.look(down)
    assert ([], ModelCard("chat", 200, "vllm", 4096)) == (case.a.asked, case.told[0].cards[0])


async def test_what_somebody_else_heard_is_not_asked_for() -> None:
    case = Case()
    case.cards.heard("a", {"llama": ListedModel(300, "x", 16)})
    await case.cards.look(())
    assert ([], ModelCard("chat", 300, "x", 16)) == (case.a.asked, case.told[0].cards[0])


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"created": 5, "owned_by": "vllm", "max_model_len": 9}, ListedModel(5, "vllm", 9)),
        ({"created": LAST_S + 1, "owned_by": "x" * 129, "max_model_len": -1}, ListedModel()),
        ({"created": "5", "owned_by": "a\nb", "max_model_len": True}, ListedModel()),
        ({"created": None, "owned_by": 5, "max_model_len": 1.5}, ListedModel()),
    ],
)
async def test_odd_members_are_left_out(said: dict[str, Any], read: ListedModel) -> None:
    assert {"m": read} == models_in(json.dumps({"data": [{"id": "m", **said}]}).encode())


async def test_clients_read_it_in_either_format() -> None:
    async with running_upstream() as upstream:
        upstream.cards = {"upstream-model": {"created": 1_700_000_000, "owned_by": "vllm", "max_model_len": 4096}}
        async with running_gateway(one_model(upstream.url)) as gateway:
            await gateway.until(lambda: gateway.worker.cards["chat"].max_model_len)
            listed = await gateway.http.get("/v1/models")
            one = await gateway.http.get("/v1/models/chat")
            other = await gateway.http.get("/v1/models/chat", headers={"anthropic-version": "2023-06-01"})
    card = {"id": "chat", "object": "model", "created": 1_700_000_000, "owned_by": "vllm", "max_model_len": 4096}
    assert [one.json()] == listed.json()["data"]
    assert card.items() <= one.json().items()
    assert "2023-11-14T22:13:20Z" == other.json()["created_at"]
