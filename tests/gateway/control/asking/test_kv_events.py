"""Stories of a cache that is followed: what workers are told to believe, and what not any more."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from engines.events import Batch, EventsAt
from engines.port import Exchange, Outgoing, Replica, Sink
from gateway.body.prefixes import prefix_chain
from gateway.control.asking.kv_events import AT_ONCE, KvEvents
from gateway.fleet.steps import at_once
from gateway.process.supervisor import Supervisor
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.workers.exchange.messages import (
    CacheChange,
    CacheFollowed,
    CachesChanged,
    CachesFollowed,
    PromptSampled,
    ToWorker,
)
from gateway.workers.exchange.prefixes import PrefixExchange
from routing.replicas.replica_table import ReplicaTable
from tests.engines.events.engine import PublishingEngine
from tests.engines.events.test_feed import Follower
from tests.gateway.control.fakes import FILE, Control

pytestmark = pytest.mark.anyio

BYTES_PER_TOKEN = 128
"""So that the blocks of two tokens are the blocks of 256 bytes."""
CHAT = "/v1/chat/completions"


def tokens_of(prompt: str) -> list[int]:
    """Like a tokenizer: equal beginnings have equal tokens."""
    return [ord(prompt[at]) for at in range(0, len(prompt), BYTES_PER_TOKEN)]


def prompt(letters: str) -> str:
    """Two tokens, and a block of bytes, for each letter."""
    return "".join(letter * 256 for letter in letters)


class Tokenizer:
    """An engine that counts tokens, and nothing else."""

    def __init__(self, *replicas: str) -> None:
        self.replicas = tuple(Replica(id, f"http://{id}:8000") for id in replicas)
        self.status = 200
        self.asked = 0
        self.tokens: str | None = None
        """What it answers in place of the tokens."""

    def send(self, replica_id: str, outgoing: Outgoing, deadlines: Any, sink: Sink) -> Exchange:
        self.asked += 1
        said = json.loads(outgoing.body)["prompt"]
        assert outgoing.path == "/tokenize"
        sink.head(self.status, ())
        sink.data(json.dumps({"count": 1, "tokens": self.tokens or tokens_of(said)}).encode())
        sink.done()
        return self  # type: ignore[return-value]

    def abort(self) -> None: ...


class Subscribed:
    """A subscription to a publishing engine, by whose feed it hears."""

    def __init__(self, engine: PublishingEngine, apply: Callable[[Batch], None], purge: Callable[[bool], None]) -> None:
        self.follower = Follower(engine)
        self.follower.feed._apply = apply  # the follower keeps what it is told to itself
        self.follower.feed._purge = purge
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Story:
    """Two replicas that publish, the control plane's part, and a worker's index."""

    def __init__(self, *replicas: str) -> None:
        self.engine = Tokenizer(*(replicas or ("a", "b")))
        self.publishers = {one.id: PublishingEngine(capacity=8, buffer_steps=4) for one in self.engine.replicas}
        self.subscribed: dict[str, Subscribed] = {}
        self.supervisor = Supervisor()
        self.full = False
        self.told: list[ToWorker] = []
        self.table = ReplicaTable()
        for one in self.engine.replicas:
            self.table.slot_of(self.table.get(("e", one.id)))
        self.exchange = PrefixExchange(Metrics(()), lambda _: True, lambda: self.table, self.supervisor.spawn)
        self.events = KvEvents(
            lambda: [("e", self.engine)],  # type: ignore[list-item]
            lambda _, replica: EventsAt(replica.id) if replica.id != "silent" else None,
            lambda: ["w"],
            self._tell,
            self.supervisor.spawn,
            coalesce_s=0.0,
            subscribe=self._subscribe,
        )

    async def begin(self) -> None:
        await self.events.look()
        for subscribed in self.subscribed.values():
            subscribed.follower.connect()
            subscribed.follower.answer()

    def _subscribe(self, at: EventsAt, apply: Callable[[Batch], None], purge: Callable[[bool], None]) -> Subscribed:
        found = self.subscribed[at.endpoint] = Subscribed(self.publishers[at.endpoint], apply, purge)
        return found

    def _tell(self, worker: str, message: ToWorker) -> bool:
        if self.full:
            return False
        self.told.append(message)
        if isinstance(message, CachesChanged):
            self.exchange.hear_engines(message)
        elif isinstance(message, CachesFollowed):
            self.exchange.follow(message)
        return True

    async def settle(self) -> None:
        """Everything that was published is heard, and all that follows from it is done."""
        for one in self.subscribed.values():
            one.follower.settle()
        for _ in range(50):
            await asyncio.sleep(0)

    async def served(self, letters: str, replica: str) -> None:
        """A worker sends a prompt to a replica, which computes it."""
        self.table.sent(("e", replica), self.chain(letters))
        self.publishers[replica].serve(tokens_of(prompt(letters)))

    async def sampled(self, letters: str, replica: str) -> None:
        body = json.dumps({"model": "m", "prompt": prompt(letters)}).encode()
        keys = array("Q", self.chain(letters)).tobytes()
        self.events.sampled(PromptSampled("e", replica, "m", "/v1/completions", body, keys))
        await self.settle()
        for followed in self.events._followed.values():
            followed.counts_at_s = 0.0

    def chain(self, letters: str) -> list[int]:
        return prefix_chain("m", json.dumps({"model": "m", "prompt": prompt(letters)}).encode())

    def claims(self, letters: str, replica: str) -> int:
        """Blocks of the prompt that the worker believes to be there."""
        state = self.table.get(("e", replica))
        return self.table.prefixes.match(self.chain(letters)).depth_of(state.slot)


async def begun(*replicas: str) -> Story:
    """Both are followed from their first batch on."""
    story = Story(*replicas)
    await story.begin()
    await story.settle()
    return story


async def test_what_an_engine_evicts_of_a_prompt_whose_tokens_are_known_is_not_claimed_any_more() -> None:
    story = await begun()
    await story.served("abcd", "a")
    await story.sampled("abcd", "a")
    assert 4 == story.claims("abcd", "a")
    await story.served("efghij", "a")  # two of the four have to go
    await story.settle()
    assert 1 <= story.claims("abcd", "a") <= 2
    await story.served("klmnop", "a")
    await story.settle()
    assert 0 == story.claims("abcd", "a")


async def test_what_another_gateway_had_computed_is_claimed() -> None:
    story = await begun()
    await story.served("abcd", "a")
    await story.sampled("abcd", "a")
    story.publishers["b"].serve(tokens_of(prompt("abcd")))
    await story.settle()
    assert 3 <= story.claims("abcd", "b") <= 4


async def test_what_was_evicted_before_its_tokens_were_known_is_not_claimed_once_they_are() -> None:
    story = await begun()
    await story.served("abcd", "a")
    await story.served("efghijkl", "a")
    await story.served("abcd", "b")
    await story.sampled("abcd", "b")
    assert [0, 4] == [story.claims("abcd", replica) for replica in "ab"]


async def test_a_gap_that_can_be_filled_costs_nothing_and_one_that_cannot_costs_all_of_that_replica() -> None:
    story = await begun()
    for replica in "ab":
        await story.served("abcd", replica)
    await story.sampled("abcd", "a")
    await story.served("wx", "a")
    await story.served("yz", "a")
    del story.publishers["a"].sent[0]
    await story.settle()
    assert [4, 4] == [story.claims("abcd", replica) for replica in "ab"]
    assert {("e", "a"), ("e", "b")} == story.exchange.complete
    for letter in "klmnopqrstu":
        await story.served(letter, "a")
    del story.publishers["a"].sent[:8]
    await story.settle()
    assert [0, 4] == [story.claims("abcd", replica) for replica in "ab"]
    assert {("e", "b")} == story.exchange.complete


async def test_an_engine_that_starts_anew_is_believed_to_hold_nothing_until_it_says_so() -> None:
    story = await begun()
    for letters in ("abcd", "ef"):
        await story.served(letters, "a")
    await story.sampled("abcd", "a")
    story.publishers["a"].restart()
    story.publishers["a"].sent.clear()
    story.subscribed["a"].follower.connect()
    await story.settle()
    assert [0, 0] == [story.claims(letters, "a") for letters in ("abcd", "ef")]
    await story.served("abcd", "a")
    await story.settle()
    assert 4 == story.claims("abcd", "a")
    assert ("e", "a") in story.exchange.complete


async def test_a_cleared_cache_holds_nothing() -> None:
    story = await begun()
    await story.served("abcd", "a")
    story.publishers["a"].clear()
    await story.settle()
    assert 0 == story.claims("abcd", "a")
    assert ("e", "a") in story.exchange.complete


async def test_a_worker_that_missed_something_forgets_the_replica() -> None:
    story = await begun()
    for letters in ("abcd", "xy"):
        await story.served(letters, "a")
    await story.sampled("abcd", "a")
    await story.served("efghij", "a")
    story.full = True
    await story.settle()
    assert 4 == story.claims("abcd", "a")
    story.full = False
    await story.settle()
    assert 0 == story.claims("xy", "a")
    assert CacheChange("e", "a", b"", 0) == [one for one in story.told if isinstance(one, CachesChanged)][-1].changes[0]


async def test_a_worker_that_could_not_be_told_how_well_replicas_are_followed_hears_it_later() -> None:
    story = Story("a", "b")
    story.full = True
    await story.begin()
    await story.settle()
    assert story.exchange.complete == set()
    story.full = False
    await story.settle()
    assert story.exchange.complete == {("e", "a"), ("e", "b")}
    story.full = True
    story.engine.replicas = story.engine.replicas[1:]
    await story.events.look()
    story.full = False
    await story.settle()
    assert story.exchange.complete == {("e", "b")}
    assert story.told[-1] == CachesFollowed([CacheFollowed("e", "a", False, False)])
    heard = len(story.told)
    await story.settle()
    assert len(story.told) == heard
    story.events.close()


async def test_a_worker_that_cannot_be_told_is_not_tried_with_all_that_it_is_to_be_told() -> None:
    many = Many(3 * AT_ONCE)
    await many.events.look()
    while len(many.states()) < 3 * AT_ONCE:
        await asyncio.sleep(0)
    many.told.clear()
    many.room = AT_ONCE
    many.events.tell_again("w")
    while not many.tries:
        await asyncio.sleep(0)
    assert (len(many.states()), len(many.events._unheard["w"]), many.tries) == (AT_ONCE, 2 * AT_ONCE, 1)
    many.room = None
    while len(many.states()) < 3 * AT_ONCE:
        await asyncio.sleep(0)
    assert [f"{number}" for number in range(3 * AT_ONCE)] == [one.replica for one in many.states()]
    many.events.close()


async def test_nothing_is_kept_for_a_worker_that_left_before_it_could_be_told() -> None:
    story = await begun()
    story.full = True
    story.events.tell_again("gone")
    await story.settle()
    assert story.events._unheard == {}
    assert story.events._timer is None
    story.events.close()


async def test_a_replica_that_cannot_count_tokens_is_approximate() -> None:
    story = await begun()
    story.engine.status = 404
    await story.served("abcd", "a")
    await story.settle()
    assert ("e", "a") in story.exchange.complete
    await story.sampled("abcd", "a")
    assert {("e", "b")} == story.exchange.complete


async def test_an_answer_that_is_no_list_of_tokens_is_none() -> None:
    story = await begun()
    story.engine.tokens = "many"
    await story.served("abcd", "a")
    await story.sampled("abcd", "a")
    assert {("e", "b")} == story.exchange.complete
    story.engine.tokens = None
    await story.events.look()
    await story.sampled("abcd", "a")
    assert {("e", "a"), ("e", "b")} == story.exchange.complete


async def test_no_more_than_five_prompts_a_second_are_counted_by_one_replica() -> None:
    story = await begun()
    body = json.dumps({"model": "m", "prompt": prompt("ab")}).encode()
    for replica in "aabba":
        story.events.sampled(PromptSampled("e", replica, "m", "/v1/completions", body, b"12345678"))
    story.events.sampled(PromptSampled("e", "gone", "m", "/v1/completions", body, b"12345678"))
    await story.settle()
    assert 2 == story.engine.asked


async def test_a_replica_that_leaves_is_not_followed_any_more_and_a_worker_that_joins_is_told_of_the_rest() -> None:
    story = await begun()
    await story.settle()
    story.engine.replicas = story.engine.replicas[1:]
    await story.events.look()
    assert [True, False] == [story.subscribed[replica].closed for replica in "ab"]
    story.events.tell_again("w")
    await story.settle()
    assert CachesFollowed([CacheFollowed("e", "b", True, True)]) == story.told[-1]
    assert {("e", "b")} == story.exchange.complete
    story.events.close()
    assert story.subscribed["b"].closed


async def test_a_replica_that_publishes_nowhere_is_left_alone_and_one_with_a_bad_address_too() -> None:
    def nowhere(at: EventsAt, apply: Callable[[Batch], None], purge: Callable[[bool], None]) -> Subscribed:
        raise OSError("no such place")

    story = await begun("a", "silent")
    assert ["a"] == list(story.subscribed)
    events = KvEvents(
        lambda: [("e", story.engine)],  # type: ignore[list-item]
        lambda _, replica: EventsAt(replica.id),
        lambda: ["w"],
        story._tell,
        story.supervisor.spawn,
        subscribe=nowhere,
    )
    await events.look()
    events.close()


async def test_more_blocks_than_there_is_room_for_are_not_followed_and_what_was_sent_there_is_still_expected() -> None:
    story = await begun()
    story.told.clear()
    story.events._most_blocks = 5
    await story.served("abcd", "a")
    for letters in ("ef", "gh", "ij"):
        await story.served(letters, "b")
        await story.settle()
    assert {("e", "a")} == story.exchange.complete
    assert [2, 2, 2] == [story.claims(letters, "b") for letters in ("ef", "gh", "ij")]
    changes = [change for one in story.told if isinstance(one, CachesChanged) for change in one.changes]
    assert CacheChange("e", "b", b"", 0) not in changes
    assert 4 == story.events._blocks


async def test_a_replica_that_there_was_no_room_for_is_followed_again_once_it_holds_nothing() -> None:
    story = await begun()
    story.events._most_blocks = 5
    await story.served("abcd", "a")
    await story.served("ef", "b")
    await story.settle()
    story.publishers["b"].clear()
    await story.settle()
    assert {("e", "a"), ("e", "b")} == story.exchange.complete
    assert 0 == story.claims("ef", "b")
    await story.served("gh", "b")
    await story.settle()
    assert {("e", "a")} == story.exchange.complete
    story.engine.replicas = story.engine.replicas[1:]  # what the other held makes room
    await story.events.look()
    story.publishers["b"].clear()
    await story.served("abcde", "b")
    await story.settle()
    assert {("e", "b")} == story.exchange.complete
    assert 5 == story.events._blocks
    story.publishers["b"].restart()
    story.publishers["b"].sent.clear()
    story.subscribed["b"].follower.connect()
    await story.settle()
    assert 0 == story.events._blocks
    story.events.close()
    assert 0 == story.events._blocks


class Many:
    """Replicas whose events are followed by subscriptions that hear nothing, and what the workers were told."""

    def __init__(self, count: int) -> None:
        self.engine = Tokenizer(*[f"{number}" for number in range(count)])
        self.port = 1
        self.opened: list[str] = []
        self.open = 0
        self.told: list[ToWorker] = []
        self.room: int | None = None
        """For the states of so many replicas; None: for all."""
        self.tries = 0
        """Messages that found none."""
        self.events = KvEvents(
            lambda: [("e", self.engine)],  # type: ignore[list-item]
            lambda _, replica: EventsAt(f"tcp://{replica.id}:{self.port}"),
            lambda: ["w"],
            self._tell,
            Supervisor().spawn,
            coalesce_s=0.0,
            subscribe=self._subscribe,
        )

    def _subscribe(self, at: EventsAt, apply: Callable[[Batch], None], purge: Callable[[bool], None]) -> Many:
        self.opened.append(at.endpoint)
        self.open += 1
        return self

    def _tell(self, worker: str, message: ToWorker) -> bool:
        if self.room is not None and len(self.states()) >= self.room:
            self.tries += 1
            return False
        self.told.append(message)
        return True

    def close(self) -> None:
        self.open -= 1

    def states(self) -> list[CacheFollowed]:
        return [one for message in self.told if isinstance(message, CachesFollowed) for one in message.replicas]


async def test_many_replicas_are_looked_at_a_few_at_a_time_and_subscribed_to_one_at_a_time() -> None:
    many = Many(4 * AT_ONCE)
    opened = [len(many.opened) for _ in many.events._look()]
    assert max(after - before for before, after in pairwise([0, *opened])) == 1
    assert 4 * AT_ONCE == many.open
    again = sum(1 for _ in many.events._look())
    assert 4 + 4 <= again <= 4 + 4 + 8
    many.engine.replicas = ()
    open_after = [many.open for _ in many.events._look()]
    assert max(before - after for before, after in pairwise([4 * AT_ONCE, *open_after])) == AT_ONCE
    assert 0 == many.open


async def test_each_of_many_replicas_is_told_of_once() -> None:
    many = Many(3 * AT_ONCE)
    await many.events.look()
    while len(many.states()) < 3 * AT_ONCE:
        await asyncio.sleep(0)
    await many.events.look()
    for _ in range(5):
        await asyncio.sleep(0)
    assert [f"{number}" for number in range(3 * AT_ONCE)] == [one.replica for one in many.states()]
    many.told.clear()
    many.events.tell_again("w")
    while len(many.told) < 3:
        await asyncio.sleep(0)
    assert [f"{number}" for number in range(3 * AT_ONCE)] == [one.replica for one in many.states()]


async def test_one_that_publishes_elsewhere_is_told_to_have_left_before_it_is_followed_there() -> None:
    many = Many(1)
    for many.port in (1, 2):
        await many.events.look()
        for _ in range(5):
            await asyncio.sleep(0)
    assert [True, False, True] == [one.wanted for one in many.states()]
    assert (["tcp://0:1", "tcp://0:2"], 1) == (many.opened, many.open)


async def test_nobody_is_followed_any_more_once_it_is_closed_in_the_middle_of_a_look() -> None:
    many = Many(3)
    looking = many.events._look()
    next(looking)
    many.events.close()
    assert [] != list(looking)
    assert (1, 0) == (len(many.opened), many.open)


async def test_a_turn_that_finds_much_tells_the_rest_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Many(3)
    monkeypatch.setattr("gateway.control.asking.kv_events.MOST_CHANGES", 1)
    await many.events.look()
    for followed in many.events._followed.values():
        followed.void = True
    while sum(isinstance(message, CachesChanged) for message in many.told) < 3:
        await asyncio.sleep(0)
    changes = [message.changes for message in many.told if isinstance(message, CachesChanged)]
    assert [[CacheChange("e", f"{number}", b"", 0)] for number in range(3)] == changes


async def test_a_look_in_the_middle_of_a_reload_that_drops_an_engine_finds_nobody_there(
    gateway: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing = 'v: {kind: vllm, replicas: [{url: "http://127.0.0.1:9"}], kv_events: {endpoint: "tcp://{host}:5557"}}'
    gateway.path.write_text(FILE.replace("engines: {", f"engines: {{{publishing}, "))
    assert await gateway.plane.reload()
    asking, met = gateway.plane.asking, list[tuple[bool, bool]]()

    def greet(settings: Settings) -> None:
        there = [name for name, _ in gateway.plane._engines.telling()]
        met.append(("v" in there, "v" in gateway.plane.settings.engines))
        at_once(asking.kv_events._look())

    monkeypatch.setattr(gateway.plane.scaling, "greet", greet)
    gateway.path.write_text(FILE)
    assert await gateway.plane.reload()
    assert met == [(True, False)]  # the settings of after it, and engines of before
