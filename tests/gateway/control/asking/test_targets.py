"""What targets ask for is compared with what engines have: once for each configuration, and in nobody's way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import ConnectFailed
from engines.model_list import ListedModel, models_in
from gateway.control.asking.targets import MOST_ASKED, MOST_LETTERS, MOST_NAMES, MOST_TRIES, TargetCheck
from gateway.fleet.steps import at_once
from gateway.settings import load_settings
from tests.gateway.flights import FakeEngine
from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import running_upstream

pytestmark = pytest.mark.anyio

FILE = """
engines: {e: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}]}, s: {kind: simulator}}
models:
  a: {targets: [{engine: e, model: llama}, {engine: s}]}
  b: {targets: [{engine: e, model: lama}]}
  c: {targets: [{engine: e, model: lama}]}
"""


class Listing(FakeEngine):
    """Lists these models; None where it has no list, no answer while `silent`."""

    def __init__(self, listed: tuple[str, ...] | None, replicas: int = 2) -> None:
        super().__init__("e", replicas, (), True)
        self.away: set[str] = set()
        self.listed = listed
        self.silent = False
        self.asked: list[str] = []

    async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
        self.asked.append(replica_id)
        if self.silent or replica_id in self.away:
            raise ConnectFailed("refused")
        return None if self.listed is None else {name: ListedModel() for name in self.listed}


def check_of(engine: FakeEngine) -> TargetCheck:
    check = TargetCheck(lambda: [("e", engine)])
    at_once(check.use(load_settings(FILE, {}).settings))
    return check


async def said(check: TargetCheck, rounds: int = 3, down: tuple[tuple[str, str], ...] = ()) -> list[Any]:
    with structlog.testing.capture_logs() as lines:
        for _ in range(rounds):
            await check.look(down)
    return lines


async def test_a_name_that_the_engine_lacks_is_told_once_with_those_it_has() -> None:
    engine = Listing(("llama", "llama-lora"))
    check = check_of(engine)
    (line,) = await said(check)
    assert (line["event"], line["engine"], line["replica"]) == ("target_model_unknown", "e", "0")
    assert line["lacked_by"] == 2
    assert (line["model"], line["targets_of"]) == ("lama", ["b", "c"])
    assert (line["engine_has"], line["engine_has_models"]) == (["llama", "llama-lora"], 2)
    assert engine.asked == ["0", "1"]
    at_once(check.use(load_settings(FILE, {}).settings))
    assert len(await said(check)) == 1


async def test_nothing_is_said_where_all_is_right_or_nothing_is_known() -> None:
    for listed in (("llama", "lama"), None):
        engine = Listing(listed)
        assert (await said(check_of(engine)), engine.asked) == ([], ["0", "1"])


async def test_a_long_list_is_told_in_part() -> None:
    (*_, line) = await said(check_of(Listing(tuple(f"{number}" + "x" * 999 for number in range(500)))))
    assert (len(line["engine_has"]), line["engine_has_models"]) == (MOST_NAMES, 500)
    assert {len(name) for name in line["engine_has"]} == {MOST_LETTERS}


async def test_an_engine_that_comes_up_late_is_asked_then_and_one_that_never_answers_is_let_be() -> None:
    engine = Listing(("llama",))
    check = check_of(engine)
    assert (await said(check, down=(("e", "0"), ("e", "1"))), engine.asked) == ([], [])
    engine.silent = True
    assert (await said(check, 2, (("e", "0"),)), engine.asked) == ([], ["1", "1"])
    engine.silent = False
    assert len(await said(check)) == 1
    engine.silent, check = True, check_of(engine)
    engine.asked.clear()
    assert (await said(check, 3 * MOST_TRIES), len(engine.asked)) == ([], 2 * MOST_TRIES)


async def test_a_replica_that_does_not_answer_hides_not_what_the_next_one_lacks() -> None:
    engine = Listing(("llama",))
    engine.away = {"0"}
    check = check_of(engine)
    (line,) = await said(check, 1)
    assert (line["event"], line["replica"], engine.asked) == ("target_model_unknown", "1", ["0", "1"])
    assert {key: (said.state, said.lacks) for key, said in check.said.items()} == {
        ("e", "0"): ("unreachable", []),
        ("e", "1"): ("reachable", ["lama"]),
    }
    engine.away.clear()
    (line,) = await said(check, 2)
    assert (line["replica"], engine.asked) == ("0", ["0", "1", "0"])


async def test_one_replica_does_not_speak_for_another_and_the_first_says_what_models_are() -> None:
    class Two(Listing):
        async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
            self.listed = ("llama", "lama") if replica_id == "0" else ("other",)
            return await super().models(replica_id)

    heard: list[tuple[str, list[str]]] = []
    engine = Two(())
    check = TargetCheck(lambda: [("e", engine)], lambda name, listed: heard.append((name, list(listed))))
    at_once(check.use(load_settings(FILE, {}).settings))
    lines = await said(check, 1)
    assert [(line["replica"], line["model"], line["lacked_by"]) for line in lines] == [
        ("1", "llama", 1),
        ("1", "lama", 1),
    ]
    assert [said.lacks for said in check.said.values()] == [[], ["llama", "lama"]]
    assert heard == [("e", ["llama", "lama"])]


async def test_of_a_large_fleet_that_does_not_answer_a_few_are_asked_in_one_look() -> None:
    engine = Listing(("llama",), replicas=100)
    engine.silent = True
    await said(check_of(engine), 1)
    assert len(engine.asked) == MOST_ASKED


async def test_a_gateway_says_which_target_is_wrong_at_start_and_asks_no_paid_engine() -> None:
    async with running_upstream() as own, running_upstream() as house, running_upstream() as hosted:
        own.models = house.models = ["other"]
        config = one_model(
            own.url,
            {"kind": "openai", "base_url": f"{house.url}/v1"},
            {"kind": "openai", "provider": "groq", "base_url": f"{hosted.url}/v1", "api_key": "sk-0123456789"},
        )
        with structlog.testing.capture_logs() as lines:
            async with running_gateway(config) as gateway:
                await gateway.until(lambda: not gateway.plane.asking.targets._open)
    told = [(line["engine"], line["model"], line["engine_has"]) for line in lines if "target" in line["event"]]
    assert sorted(told) == [("a", "upstream-model", ["other"]), ("b", "upstream-model", ["other"])]
    assert [1, 1, 0] == [each.asked_for_models for each in (own, house, hosted)]


@settings(deadline=None)
@given(
    st.binary()
    | st.recursive(
        st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["data", "id"]), inner)
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_answer_is_a_list_of_names_or_none(body: bytes) -> None:
    models = models_in(body)
    assert models is None or all(isinstance(name, str) for name in models)


def test_the_names_of_a_list_are_its_ids() -> None:
    assert list(models_in(b'{"object":"list","data":[{"id":"a","root":"x"},{"id":"b"},{"id":7},3]}') or ()) == [
        "a",
        "b",
    ]
