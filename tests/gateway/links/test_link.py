"""Links: what is told arrives in order, what is asked ends, and nonsense or a deaf end harms nobody else.

The contract holds for both kinds: within one loop, and over a socket pair.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any, cast

import msgspec
import pytest
import structlog

from gateway.links.frames import MAX_MESSAGE_BYTES, Kind, SendQueue
from gateway.links.link import Link, LocalLink, PipeLink
from gateway.links.questions import MAX_OPEN, AskFailed, LinkFull, LinkLost
from gateway.process.supervisor import Supervisor
from gateway.workers.exchange.messages import AskExposition, Configured, Counters, Drained, Load, ReplicaLoad, ToPlane
from tests.gateway.children import Watch

pytestmark = pytest.mark.anyio
QUESTION = AskExposition(1)


class FakePeer:
    """Keeps what it is told, and answers when the test says so."""

    def __init__(self) -> None:
        self.heard: list[ToPlane] = []
        self.questions: list[asyncio.Future[ToPlane]] = []
        self.losses = 0
        self.watch = Watch()

    def told(self, message: ToPlane) -> None:
        self.heard.append(message)
        self.watch.changed()
        if message == Configured("raise"):
            raise ValueError("told")

    def asked(self, message: ToPlane) -> Awaitable[ToPlane]:
        self.heard.append(message)
        if message == Configured("raise"):
            raise ValueError("asked")
        answer: asyncio.Future[ToPlane] = asyncio.get_running_loop().create_future()
        self.questions.append(answer)
        self.watch.changed()
        return answer

    def link_lost(self) -> None:
        self.losses += 1
        self.watch.changed()


class Pair:
    """A link to a peer, of either kind."""

    def __init__(self) -> None:
        self.peer = FakePeer()
        self.supervisor = Supervisor()
        self.link: Link[ToPlane] = LocalLink(self.peer, self.supervisor.spawn)

    async def over_sockets(self) -> None:
        near, far = socket.socketpair()
        ours: PipeLink[ToPlane] = PipeLink(ToPlane, FakePeer(), self.supervisor.spawn)
        theirs: PipeLink[ToPlane] = PipeLink(ToPlane, self.peer, self.supervisor.spawn)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: ours, sock=near)
        await loop.create_connection(lambda: theirs, sock=far)
        self.link = ours


@pytest.fixture(params=["local", "pipe"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    pair = Pair()
    if request.param == "pipe":
        await pair.over_sockets()
    with structlog.testing.capture_logs():
        yield pair
    pair.link.close()
    await pair.supervisor.close()


async def test_what_is_told_arrives_in_order_and_never_re_enters_its_sender(pair: Pair) -> None:
    messages = [Load([ReplicaLoad("e", str(number), number, 1, 2)]) for number in range(50)]
    for message in messages:
        assert pair.link.tell(message)
    assert pair.peer.heard == []
    await pair.peer.watch.until(lambda: len(pair.peer.heard) == 50)
    assert pair.peer.heard == messages


async def test_answers_find_their_questions_in_any_order(pair: Pair) -> None:
    asked = [pair.link.ask(QUESTION, Configured, timeout_s=10.0) for _ in range(3)]
    await pair.peer.watch.until(lambda: len(pair.peer.questions) == 3)
    for number in (2, 0, 1):
        pair.peer.questions[number].set_result(Configured(str(number)))
    assert [await one for one in asked] == [Configured("0"), Configured("1"), Configured("2")]


async def test_a_large_answer_arrives_whole(pair: Pair) -> None:
    asked = pair.link.ask(QUESTION, Configured, timeout_s=10.0, bulk=True)
    await pair.peer.watch.until(lambda: len(pair.peer.questions) == 1)
    pair.peer.questions[0].set_result(Configured("x" * 1_000_000))
    assert (await asked).problem == "x" * 1_000_000


async def test_a_question_ends_with_its_time_and_a_late_answer_is_dropped(pair: Pair) -> None:
    asked = pair.link.ask(QUESTION, Configured, timeout_s=0.0)
    with pytest.raises(TimeoutError):
        await asked
    await pair.peer.watch.until(lambda: len(pair.peer.questions) == 1)
    pair.peer.questions[0].set_result(Configured("late"))
    again = pair.link.ask(QUESTION, Configured, timeout_s=10.0)
    await pair.peer.watch.until(lambda: len(pair.peer.questions) == 2)
    pair.peer.questions[1].set_result(Configured("in time"))
    assert await again == Configured("in time")


async def test_what_goes_wrong_at_the_other_end_is_told_to_whoever_asked(pair: Pair) -> None:
    asked = pair.link.ask(QUESTION, Configured, timeout_s=10.0)
    await pair.peer.watch.until(lambda: len(pair.peer.questions) == 1)
    pair.peer.questions[0].set_exception(OSError("no disk"))
    with pytest.raises(AskFailed, match="OSError: no disk"):
        await asked
    with pytest.raises(AskFailed, match="ValueError: asked"):
        await pair.link.ask(Configured("raise"), Configured, timeout_s=10.0)


async def test_an_answer_of_another_type_is_a_failure(pair: Pair) -> None:
    asked = pair.link.ask(QUESTION, Counters, timeout_s=10.0)
    await pair.peer.watch.until(lambda: len(pair.peer.questions) == 1)
    pair.peer.questions[0].set_result(Configured())
    with pytest.raises(AskFailed, match="answered with Configured, not Counters"):
        await asked


async def test_what_is_told_may_raise_and_the_link_goes_on(pair: Pair) -> None:
    pair.link.tell(Configured("raise"))
    pair.link.tell(Drained())
    await pair.peer.watch.until(lambda: len(pair.peer.heard) == 2)
    assert pair.peer.heard == [Configured("raise"), Drained()]


async def test_a_closed_link_ends_its_questions_and_drops_what_is_told(pair: Pair) -> None:
    asked = pair.link.ask(QUESTION, Configured, timeout_s=10.0)
    pair.link.close()
    with pytest.raises(LinkLost):
        await asked
    assert not pair.link.tell(Drained())
    with pytest.raises(LinkLost):
        await pair.link.ask(QUESTION, Configured, timeout_s=10.0)


async def test_too_many_questions_at_once_are_refused(pair: Pair) -> None:
    asked = [pair.link.ask(QUESTION, Configured, timeout_s=10.0) for _ in range(MAX_OPEN + 1)]
    with pytest.raises(AskFailed, match="too many questions"):
        await asked[-1]
    for question in pair.peer.questions:
        question.set_result(Configured())
    assert [await one for one in asked[:-1]] == [Configured()] * MAX_OPEN


# -- over a socket pair ------------------------------------------------------------------------------------------------


class FakeTransport:
    """Keeps what is written, pauses its protocol when told, and knows whether it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.buffers: list[bytes] = []
        self.closed = False
        self.aborted = False

    def set_write_buffer_limits(self, high: int) -> None: ...

    def writelines(self, buffers: Iterable[bytes]) -> None:
        assert not self.closed
        self.buffers += buffers
        self.written = b"".join(self.buffers)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed


class End:
    """One end of a link on a fake transport."""

    def __init__(self, **bounds: int) -> None:
        self.peer = FakePeer()
        self.dropped: list[None] = []
        self.link: PipeLink[ToPlane] = PipeLink(
            ToPlane, self.peer, Supervisor().spawn, lambda: self.dropped.append(None), SendQueue(**bounds)
        )
        self.transport = FakeTransport()
        self.link.connection_made(cast("asyncio.Transport", self.transport))


def framed(body: bytes, kind: Kind = Kind.TELL) -> bytes:
    return struct.pack(">BII", kind, 0, len(body)) + body


NONSENSE = {
    "not msgpack": b"\xc1",
    "no tag": msgspec.msgpack.encode({"problem": ""}),
    "unknown tag": msgspec.msgpack.encode({"type": "pickle"}),
    "wrong type": msgspec.msgpack.encode({"type": "configured", "problem": 7}),
    "nested": b"\x82\xa4type\xa7drained\xa1x" + b"\x91" * 60_000,
    "no text": b"\x81\xa4type\xa7\xff\xff\xff\xff\xff\xff\xff",
    "empty": b"",
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("kind", [Kind.TELL, Kind.ASK, Kind.ANSWER])
async def test_nonsense_closes_the_link_and_nothing_after_it_is_delivered(body: bytes, kind: Kind) -> None:
    end = End()
    end.link.data_received(framed(body, kind) + framed(msgspec.msgpack.encode(Drained())))
    assert (end.transport.closed, end.peer.heard) == (True, [])


async def test_bulk_without_room_is_dropped_and_counted_and_control_still_goes() -> None:
    end = End(bulk_bytes=150)
    end.link.pause_writing()
    assert end.link.tell(Configured("b" * 80), bulk=True)
    assert not end.link.tell(Configured("c" * 80), bulk=True)
    with pytest.raises(LinkFull):
        await end.link.ask(Configured("d" * 80), Configured, timeout_s=10.0, bulk=True)
    assert end.link.tell(Configured("now"))
    assert (len(end.dropped), end.transport.written, end.transport.closed) == (2, b"", False)
    end.link.resume_writing()
    assert end.transport.written == framed(msgspec.msgpack.encode(Configured("now"))) + (
        struct.pack(">BII", 0x10, 0, len(body := msgspec.msgpack.encode(Configured("b" * 80)))) + body
    )
    assert end.link.unsent_bytes == 0


async def test_an_answer_without_room_is_refused_and_not_lost() -> None:
    end, other = End(bulk_bytes=150), End()
    asked = other.link.ask(QUESTION, Configured, timeout_s=10.0, bulk=True)
    end.link.data_received(other.transport.written)
    await end.peer.watch.until(lambda: len(end.peer.questions) == 1)
    end.peer.questions[0].set_result(Configured("x" * 200))
    while not end.transport.written:
        await asyncio.sleep(0)
    other.link.data_received(end.transport.written)
    with pytest.raises(AskFailed, match="no room for the answer"):
        await asked


async def test_an_end_that_reads_no_control_any_more_is_given_up() -> None:
    end = End(control_bytes=150)
    end.link.pause_writing()
    assert end.link.tell(Configured("x" * 80))
    assert not end.link.tell(Configured("x" * 80))
    assert end.transport.aborted


async def test_a_message_that_is_too_large_is_not_sent_and_harms_no_other() -> None:
    end = End()
    assert not end.link.tell(Configured("x" * MAX_MESSAGE_BYTES))
    assert end.link.tell(Configured())
    assert not end.transport.closed


async def test_the_other_end_hears_once_that_a_link_is_gone_and_everything_before() -> None:
    pair = Pair()
    await pair.over_sockets()
    for number in range(20):
        pair.link.tell(Configured(str(number) * 100_000), bulk=True)
    pair.link.close()
    await pair.peer.watch.until(lambda: pair.peer.losses > 0)
    told: list[Any] = [Configured(str(number) * 100_000) for number in range(20)]
    assert (pair.peer.heard, pair.peer.losses) == (told, 1)
