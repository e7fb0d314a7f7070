"""A link delivers every message whole and in order, however the pipe cuts them, and closes on nonsense."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.workers.link import MAX_MESSAGE_BYTES, LocalLink, PipeLink
from gateway.workers.messages import AskExposition, Configured, Drained, Load, RemoteTokens, ToPlane

messages = st.lists(
    st.one_of(
        st.builds(Configured, st.text(max_size=300)),
        st.builds(Load, st.lists(st.builds(RemoteTokens, st.text(), st.text(), st.integers(0, 2**50)), max_size=3)),
        st.builds(AskExposition, st.integers(0, 2**31)),
        st.builds(Drained),
    ),
    max_size=6,
)


class FakeTransport:
    """Keeps what is written, and knows whether it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class End:
    """One end of a link on a fake transport, with all that it delivered."""

    def __init__(self) -> None:
        self.delivered: list[ToPlane] = []
        self.losses = 0
        self.link: PipeLink[ToPlane, ToPlane] = PipeLink(ToPlane, self.delivered.append, self._lost)
        self.transport = FakeTransport()
        self.link.connection_made(cast("asyncio.Transport", self.transport))

    def _lost(self) -> None:
        self.losses += 1


@settings(deadline=None)
@given(messages, st.lists(st.integers(0, 10_000), max_size=10))
def test_messages_arrive_in_order_however_the_pipe_cuts_them(sent: list[ToPlane], cuts: list[int]) -> None:
    one, other = End(), End()
    for message in sent:
        one.link.send(message)
    stream = one.transport.written
    places = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    for start, stop in itertools.pairwise(places):
        other.link.data_received(stream[start:stop])
    assert (other.delivered, other.transport.closed) == (sent, False)


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_messages_or_nonsense_and_never_an_exception(data: bytes) -> None:
    end = End()
    end.link.data_received(struct.pack(">I", len(data)) + data)
    assert end.transport.closed == (end.delivered == [])


NONSENSE = {
    "not msgpack": b"\xc1",
    "no tag": msgspec.msgpack.encode({"problem": ""}),
    "unknown tag": msgspec.msgpack.encode({"type": "pickle"}),
    "wrong type": msgspec.msgpack.encode({"type": "ask_exposition", "number": "7"}),
    "nested": b"\x82\xa4type\xa7drained\xa1x" + b"\x91" * 100_000,
    "no text": b"\x81\xa4type\xa7\xff\xff\xff\xff\xff\xff\xff",
    "empty": b"",
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_closes_the_link_and_nothing_after_it_is_delivered(body: bytes) -> None:
    end = End()
    drained = msgspec.msgpack.encode(Drained())
    end.link.data_received(struct.pack(">I", len(body)) + body + struct.pack(">I", len(drained)) + drained)
    assert (end.transport.closed, end.delivered) == (True, [])


def test_an_oversized_message_closes_the_link_before_it_is_read() -> None:
    end = End()
    end.link.data_received(struct.pack(">I", MAX_MESSAGE_BYTES + 1))
    assert end.transport.closed


def test_a_message_to_an_end_that_is_gone_is_dropped() -> None:
    end = End()
    end.link.close()
    end.link.send(Drained())
    end.link.connection_lost(None)
    end.link.send(Drained())
    assert (end.transport.written, end.losses) == (b"", 1)


@pytest.mark.anyio
async def test_the_other_end_hears_once_that_a_link_is_gone() -> None:
    loop = asyncio.get_running_loop()
    lost, delivered = asyncio.Event(), asyncio.Queue[ToPlane]()
    ours, theirs = socket.socketpair()
    near: PipeLink[ToPlane, ToPlane] = PipeLink(ToPlane, delivered.put_nowait, lost.set)
    far: PipeLink[ToPlane, ToPlane] = PipeLink(ToPlane, delivered.put_nowait, asyncio.Event().set)
    await loop.create_connection(lambda: near, sock=ours)
    await loop.create_connection(lambda: far, sock=theirs)
    far.send(Configured("x" * 1_000_000))
    far.close()
    assert await delivered.get() == Configured("x" * 1_000_000)
    await lost.wait()


@pytest.mark.anyio
async def test_a_local_link_never_re_enters_its_sender() -> None:
    delivered: list[ToPlane] = []
    link: LocalLink[ToPlane] = LocalLink(delivered.append)
    link.send(Drained())
    assert delivered == []
    await asyncio.sleep(0)
    assert delivered == [Drained()]
    link.close()
    link.send(Drained())
    await asyncio.sleep(0)
    assert delivered == [Drained()]
