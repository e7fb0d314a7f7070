"""Links carry messages both ways: in one event loop, or over a socket pair. Both ends tell and ask.

`tell` delivers in order; `ask` is told and answered by number. Control goes ahead of bulk, and what the other end does
not read is bounded (`gateway.links.frames`). The other end is our own process, yet sizes are bounded and types are
checked all the same: a broken worker must not take the parent with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec
import structlog

from gateway.links.frames import MAX_MESSAGE_BYTES, Incoming, Kind, Nonsense, SendQueue, Whole
from gateway.links.questions import Answer, Answering, AskFailed, LinkFull, LinkLost, Questions

log = structlog.get_logger()

Spawn = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], None]

Out = TypeVar("Out", contravariant=True)
In = TypeVar("In", contravariant=True)
Back = TypeVar("Back", covariant=True)


class Link(Protocol[Out]):
    """One end of a link."""

    def tell(self, message: Out, *, bulk: bool = False) -> bool:
        """Deliver in order; returns False when it was dropped, because the other end is gone or reads too slowly."""

    def ask(self, message: Out, answer: type[Answer], *, timeout_s: float, bulk: bool = False) -> Awaitable[Answer]:
        """Deliver in order, now; the answer may be awaited. `bulk` is for the answer too.

        Awaiting raises TimeoutError, LinkLost, LinkFull, or AskFailed when the other end fails.
        """

    def close(self) -> None: ...


class Peer(Protocol[In, Back]):
    """What one end does with what comes over its link."""

    def told(self, message: In) -> None:
        """Act on a message at once. An exception is logged, and the link goes on."""

    def asked(self, message: In) -> Awaitable[Back]:
        """Answer a question. Called in the order of coming; what it returns is awaited in a task of its own. An
        exception is told to whoever asked."""

    def link_lost(self) -> None:
        """The other end is gone, or talks nonsense. Called once."""


def deliver(peer: Peer[Any, Any], message: Any) -> None:
    """Hand one message over."""
    try:
        peer.told(message)
    except Exception:
        log.exception("message_failed", message=type(message).__name__)


class LocalLink(Generic[Out]):
    """Delivers within one event loop, through the loop so that an answer never re-enters whoever asked."""

    def __init__(self, peer: Peer[Any, Any], spawn: Spawn) -> None:
        """`peer` is the other end; its answers run under `spawn`."""
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._questions = Questions()
        self._answering = Answering(spawn, peer.asked, self._questions.answer, self._failed)
        self._open = True

    def tell(self, message: Out, *, bulk: bool = False) -> bool:
        if self._open:
            self._loop.call_soon(deliver, self._peer, message)
        return self._open

    def ask(
        self, message: Out, answer: type[Answer], *, timeout_s: float, bulk: bool = False
    ) -> asyncio.Future[Answer]:
        number, waiting = self._questions.open(answer, timeout_s)
        if self._open:
            self._loop.call_soon(self._answering.asked, number, message)
        else:
            self._questions.fail(number, LinkLost("the other end is gone"))
        return waiting

    def close(self) -> None:
        self._open = False
        self._questions.lost()

    def _failed(self, number: int, why: str) -> None:
        self._questions.fail(number, AskFailed(why))


def pack(value: Any) -> bytes:
    """What is no plain value says itself how it travels, and its class how it comes back."""
    packed: bytes = value.packed()
    return packed


def unpack(kind: Any, data: Any) -> Any:
    """Raises what msgspec makes a ValidationError of."""
    return kind.unpacked(data)


class PipeLink(asyncio.Protocol, Generic[Out]):
    """One end of a socket pair."""

    def __init__(
        self,
        incoming: Any,
        peer: Peer[Any, Any],
        spawn: Spawn,
        dropped: Callable[[], None] = lambda: None,
        outgoing: SendQueue | None = None,
    ) -> None:
        """`incoming` is the union type of the messages that may come; `dropped` is called for each bulk message that
        found no room; `outgoing` has other bounds than the usual."""
        self._decode = msgspec.msgpack.Decoder(incoming, dec_hook=unpack).decode
        self._encode = msgspec.msgpack.Encoder(enc_hook=pack).encode
        self._peer = peer
        self._dropped = dropped
        self._outgoing = outgoing if outgoing is not None else SendQueue()
        self._incoming = Incoming()
        self._questions = Questions()
        self._answering = Answering(spawn, peer.asked, self._reply, self._refuse)
        self._bulky: set[int] = set()
        """The questions of the other end whose answers are bulk."""
        self._transport: asyncio.Transport | None = None
        self._paused = False

    @property
    def unsent_bytes(self) -> int:
        """What waits for the other end to read, without what the transport has taken."""
        return self._outgoing.unsent_bytes

    def tell(self, message: Out, *, bulk: bool = False) -> bool:
        return self._put(Kind.TELL, 0, self._encode(message), bulk)

    def ask(
        self, message: Out, answer: type[Answer], *, timeout_s: float, bulk: bool = False
    ) -> asyncio.Future[Answer]:
        number, waiting = self._questions.open(answer, timeout_s)
        if not self._put(Kind.ASK, number, self._encode(message), bulk):
            gone = self._transport is None or self._transport.is_closing()
            self._questions.fail(number, LinkLost("the other end is gone") if gone else LinkFull("no room to ask"))
        return waiting

    def close(self) -> None:
        """Send what is unsent, then end."""
        if self._transport is not None and not self._transport.is_closing():
            while self._outgoing:
                self._transport.writelines(self._outgoing.take())
            self._transport.close()

    # -- out -----------------------------------------------------------------------------------------------------------

    def _put(self, kind: Kind, number: int, data: bytes, bulk: bool) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing() or len(data) > MAX_MESSAGE_BYTES:
            return False
        if not self._outgoing.put(kind, number, data, bulk=bulk):
            if bulk:
                self._dropped()
            else:
                transport.abort()  # it has read nothing for so long that it never will
            return False
        self._pump()
        return True

    def _pump(self) -> None:
        transport = self._transport
        if transport is None:
            return
        while self._outgoing and not self._paused and not transport.is_closing():
            transport.writelines(self._outgoing.take())

    def _reply(self, number: int, message: object) -> None:
        bulk = number in self._bulky
        self._bulky.discard(number)
        if not self._put(Kind.ANSWER, number, self._encode(message), bulk):
            self._refuse(number, "no room for the answer")

    def _refuse(self, number: int, why: str) -> None:
        self._bulky.discard(number)
        self._put(Kind.FAILED, number, why.encode("utf-8", "replace"), False)

    # -- in ------------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop registers no subclass
        transport.set_write_buffer_limits(high=64 * 1024)  # control must not stand behind what the transport holds

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def data_received(self, data: bytes) -> None:
        try:
            for whole in self._incoming.feed(data):
                self._deliver(whole, None if whole.kind is Kind.FAILED else self._read(whole.data))
        except Nonsense:
            self._outgoing.clear()
            if self._transport is not None:
                self._transport.close()

    def _read(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Nonsense(str(error)) from None

    def _deliver(self, whole: Whole, message: Any) -> None:
        match whole.kind:
            case Kind.TELL:
                deliver(self._peer, message)
            case Kind.ASK:
                if whole.bulk:
                    self._bulky.add(whole.number)
                self._answering.asked(whole.number, message)
            case Kind.ANSWER:
                self._questions.answer(whole.number, message)
            case Kind.FAILED:
                self._questions.fail(whole.number, AskFailed(whole.data.decode("utf-8", "replace")))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outgoing.clear()
        self._questions.lost()
        self._peer.link_lost()
