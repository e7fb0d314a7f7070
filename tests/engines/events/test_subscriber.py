"""Over real ZMQ sockets: what is published is followed, through losses, silences and restarts."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import pytest
import zmq

from engines.events import Batch, Blocks, EventsAt, Removed, Stored
from engines.events.subscriber import Subscriber
from tests.engines.events.engine import PublishingEngine
from tests.engines.events.publisher import Publisher

pytestmark = pytest.mark.anyio


LONGEST_S = 60.0
"""What is waited for comes at once, but on a machine that is busy with other things."""


class Following:
    def __init__(
        self,
        at: EventsAt,
        answer_s: float = 30.0,
        again_s: float = 30.0,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        pause_s: float = 30.0,
    ) -> None:
        self.blocks = Blocks()
        self.purges: list[bool] = []
        waits = {"answer_s": answer_s, "pause_s": pause_s, "again_s": again_s}
        self.subscriber = Subscriber(at, self._apply, self._purge, context=context, **waits)

    def _apply(self, batch: Batch) -> None:
        for event in batch.events:
            if isinstance(event, Stored):
                self.blocks.store(event)
            elif isinstance(event, Removed):
                self.blocks.remove(event)

    def _purge(self, empty: bool) -> None:
        self.purges.append(empty)
        self.blocks.clear(complete=empty)

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONGEST_S):
            while not seen():
                await asyncio.sleep(0.001)

    async def listens(self, publisher: Publisher) -> None:
        """Until its subscription has got there, and something that was published has come."""
        async with asyncio.timeout(LONGEST_S):
            while self.subscriber.feed._next is None:
                publisher.engine.publish([])
                await publisher.send()
                await asyncio.sleep(0.001)

    async def knows(self, engine: PublishingEngine) -> None:
        await self.until(lambda: engine.held == {name for name in engine.held if name in self.blocks})
        assert len(self.blocks) == len(engine.held)


@asynccontextmanager
async def following(
    engine: PublishingEngine,
    *,
    with_topic: bool = True,
    replays: bool = True,
    answer_s: float = 30.0,
    again_s: float = 30.0,
    pause_s: float = 30.0,
    room: int = 1_000,
) -> AsyncIterator[tuple[Publisher, Following]]:
    publisher = Publisher(engine, with_topic=with_topic, room=room)
    at = publisher.at if replays else EventsAt(publisher.at.endpoint)
    followed = Following(at, answer_s, again_s, pause_s=pause_s)
    try:
        yield publisher, followed
    finally:
        followed.subscriber.close()
        publisher.close()


@pytest.mark.parametrize("with_topic", [True, False])
async def test_what_was_published_before_anybody_listened_is_had_by_replay_and_the_rest_as_it_comes(
    with_topic: bool,
) -> None:
    engine = PublishingEngine()
    engine.serve([1, 1, 2, 2])
    async with following(engine, with_topic=with_topic) as (publisher, followed):
        await publisher.send()  # to nobody
        assert 0 == await publisher.answer()
        await followed.knows(engine)
        engine.serve([3, 3])
        await publisher.send()
        await followed.knows(engine)
    assert (True, [True]) == (followed.blocks.complete, followed.purges)


async def test_what_was_lost_is_asked_for() -> None:
    engine = PublishingEngine(buffer_steps=10)
    async with following(engine) as (publisher, followed):
        await publisher.answer()
        for prompt in ([1, 1], [2, 2], [3, 3], [1, 2]):
            engine.serve(prompt)
        await publisher.send(lose=2)
        assert 0 == await publisher.answer()
        await followed.knows(engine)
        for prompt in ([2, 1], [2, 3]):
            engine.serve(prompt)
        await publisher.send(lose=1)
        assert 3 == await publisher.answer()
        await followed.knows(engine)
    assert True in followed.purges
    assert followed.blocks.complete


async def test_an_engine_that_starts_anew_at_the_same_place_is_known_from_its_beginning() -> None:
    engine = PublishingEngine()
    engine.serve([1, 1, 2, 2])
    async with following(engine) as (publisher, followed):
        await publisher.answer()
        await followed.knows(engine)
        publisher.close()
        engine.restart()
        engine.serve([2, 2])
        again = Publisher(engine, publisher.at)
        assert [0, 0] == [await again.answer(), await again.answer()]
        await followed.knows(engine)
        again.close()
    assert (True, [True, True]) == (followed.blocks.complete, followed.purges)


async def test_without_an_answer_what_comes_is_followed_and_nothing_before_it_believed() -> None:
    engine = PublishingEngine()
    engine.serve([1, 1, 2, 2])
    async with following(engine, answer_s=0.01) as (publisher, followed):
        await publisher.send()
        await followed.until(lambda: followed.purges[-1:] == [False])
        await followed.listens(publisher)
        engine.serve([3, 3])
        await publisher.send()
        await followed.until(lambda: len(followed.blocks) == 1)
    assert not followed.blocks.complete


async def test_without_an_address_to_ask_at_the_same() -> None:
    engine = PublishingEngine()
    engine.serve([1, 1, 2, 2])
    engine.sent.clear()
    async with following(engine, replays=False) as (publisher, followed):
        await followed.until(lambda: followed.purges == [True, False])
        await followed.listens(publisher)
        engine.serve([3, 3])
        await publisher.send()
        await followed.until(lambda: len(followed.blocks) == 1)
    assert not followed.blocks.complete


async def test_messages_of_another_shape_are_passed_over() -> None:
    engine = PublishingEngine()
    async with following(engine) as (publisher, followed):
        await publisher.answer()
        await publisher._pub.send_multipart((b"hello",))
        await publisher._pub.send_multipart((b"", b"\0", b"x"))
        engine.serve([3, 3])
        await publisher.send()
        await followed.knows(engine)
    assert followed.blocks.complete


async def test_more_batches_than_fit_into_one_turn_all_come() -> None:
    engine = PublishingEngine(capacity=50, buffer_steps=1000)
    for number in range(300):
        engine.serve([number % 90 + 1, number % 7 + 1] * (number % 3 + 1))
    engine.sent.clear()
    async with following(engine) as (publisher, followed):
        await publisher.answer()
        await followed.knows(engine)
    assert followed.blocks.complete


async def test_a_longer_answer_than_the_engines_socket_has_room_for_is_had_in_parts() -> None:
    """The engine goes on working: where the end of an answer has come and what was before it has not, the next number
    tells that something is missing, and nothing else can. It stores nothing more after a while: each answer brings one
    batch at least, and that may be all, so that who asks would never come to the end."""
    engine = PublishingEngine(capacity=400, buffer_steps=1_000)
    for number in range(160):
        engine.serve([number, *range(800)])
    async with following(engine, room=16, pause_s=0.05) as (publisher, followed):
        engine.sent.clear()  # nobody listened
        asked: list[int] = []

        async def answer() -> None:
            while True:
                asked.append(await publisher.answer())
                if len(asked) <= 3:
                    engine.serve([1_000 + len(asked), *range(800)])
                else:
                    engine.publish([])
                await publisher.send()

        async with anyio.create_task_group() as answering:
            answering.start_soon(answer)
            await followed.knows(engine)
            answering.cancel_scope.cancel()
        assert asked[0] == 0
        assert len(asked) > 1
        assert sorted(asked) == asked
        assert (True, [True]) == (followed.blocks.complete, followed.purges)


async def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(zmq.ZMQError):
        Following(EventsAt("tcp://nowhere"))


TOO_LONG = b"x" * (1024 * 1024 + 1)


async def test_after_a_message_that_is_too_long_the_engine_is_followed_as_after_any_other_gap() -> None:
    engine = PublishingEngine()
    engine.serve([1, 1])
    async with following(engine, again_s=0.01) as (publisher, followed):
        await publisher.answer()
        await followed.knows(engine)
        for prompt in ([2, 2], [3, 3]):
            engine.serve(prompt)
            await publisher._pub.send_multipart((b"", b"\0" * 8, TOO_LONG))
            engine.sent.clear()  # what was sent then reached nobody
            assert len(engine.held) - 2 == await publisher.answer()
            await followed.knows(engine)
        engine.serve([1, 2])
        await publisher.send()
        await followed.knows(engine)
    assert (True, [True]) == (followed.blocks.complete, followed.purges)


async def test_a_batch_that_is_too_long_to_be_had_is_lost_and_nothing_before_it_believed() -> None:
    engine = PublishingEngine()
    engine.serve([1, 1])
    async with following(engine, again_s=0.01) as (publisher, followed):
        await publisher.answer()
        await followed.knows(engine)
        engine.publish([{"type": "BlockRemoved", "block_hashes": [TOO_LONG]}])
        await publisher.send()
        await publisher.answer()  # the same again
        followed.subscriber._unanswered()  # as once the time for an answer is over
        await followed.until(lambda: followed.purges == [True, False])
        engine.serve([3, 3])
        await publisher.send()
        await followed.until(lambda: len(followed.blocks) == 1)
    assert not followed.blocks.complete


async def test_an_address_that_is_given_up_again_and_again_is_connected_to_less_and_less_often() -> None:
    async with following(PublishingEngine(), again_s=0.01) as (_, followed):
        await followed.until(lambda: followed.subscriber._connected_at_s > 0)
        waits_s = [followed.subscriber._next_again_s() for _ in range(15)]
        followed.subscriber._connected_at_s -= 61.0  # it held for a minute
        assert 0.01 == followed.subscriber._next_again_s()
    assert [0.01 * 2**doubled for doubled in range(13)] == waits_s[:13]
    assert [60.0, 60.0] == waits_s[13:]


@contextmanager
def context_for(sockets: int) -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """One that has room for so many."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, sockets)
    try:
        yield context
    finally:
        context.destroy(linger=0)


async def test_where_there_is_no_room_for_a_socket_to_ask_with_what_comes_is_followed() -> None:
    engine = PublishingEngine()
    engine.serve([1, 1, 2, 2])
    engine.sent.clear()
    publisher = Publisher(engine)
    with context_for(3) as context:  # the subscription's, and two for its monitor
        followed = Following(publisher.at, context=context)
        await followed.until(lambda: followed.purges == [True, False])
        assert not followed.subscriber.feed.asking
        await followed.listens(publisher)
        engine.serve([3, 3])
        await publisher.send()
        await followed.until(lambda: len(followed.blocks) == 1)
        assert not followed.blocks.complete
        followed.subscriber.close()
    publisher.close()


@pytest.mark.parametrize("sockets", [1, 2])
async def test_where_there_is_no_room_for_a_monitor_that_is_an_error_and_nothing_is_left_open(sockets: int) -> None:
    with context_for(sockets) as context:
        with pytest.raises(zmq.ZMQError) as raised:
            Following(EventsAt("tcp://127.0.0.1:1"), context=context)
        assert errno.EMFILE == raised.value.errno
        assert [] == [one for one in context._sockets if not one.closed]


async def test_the_process_has_room_for_as_many_sockets_as_zmq_allows() -> None:
    engine = PublishingEngine()
    async with following(engine):
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        assert min(65_536, context.get(zmq.SOCKET_LIMIT)) == context.get(zmq.MAX_SOCKETS)


async def test_what_waits_to_be_read_is_bounded() -> None:
    async with following(PublishingEngine()) as (publisher, followed):
        await publisher._router.poll()  # it asks
        asked = followed.subscriber._replay
        assert asked is not None
        for socket in (followed.subscriber._published.socket, asked.socket):
            bounds = [socket.getsockopt(option) for option in (zmq.RCVHWM, zmq.MAXMSGSIZE)]
            assert [64, 1024 * 1024] == bounds
