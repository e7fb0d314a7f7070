"""A ZMQ publisher that speaks as vLLM's does (`vllm.distributed.kv_events.ZmqEventPublisher`), in the test's loop."""

from __future__ import annotations

import zmq
import zmq.asyncio

from engines.events import EventsAt
from tests.engines.events.engine import PublishingEngine

END = (-1).to_bytes(8, "big", signed=True)


class Publisher:
    """Publishes what an engine has sent; answers one question at a time, when it is told to."""

    def __init__(
        self, engine: PublishingEngine, at: EventsAt | None = None, *, with_topic: bool = True, room: int = 1_000
    ) -> None:
        """`at`: the addresses to use again; `with_topic`: whether answers have a topic, as newer versions' do; `room`:
        for how many messages of an answer, beyond which a ROUTER drops them."""
        self.engine = engine
        self._with_topic = with_topic
        self._context = zmq.asyncio.Context()
        self._pub = self._context.socket(zmq.XPUB)  # a PUB that is told of who listens
        self._heard = False
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.SNDHWM, room)
        for socket, address in ((self._pub, at and at.endpoint), (self._router, at and at.replay_endpoint)):
            socket.bind(address or "tcp://127.0.0.1:*")
        self.at = EventsAt(*(socket.getsockopt_string(zmq.LAST_ENDPOINT) for socket in (self._pub, self._router)))

    async def send(self, *, lose: int = 0) -> None:
        """Publish what the engine has sent, but for the first few."""
        for number, payload in self.engine.sent[lose:]:
            await self._pub.send_multipart((b"", number.to_bytes(8, "big"), payload))
        self.engine.sent.clear()

    async def answer(self) -> int:
        """Wait for a question, and until who asks listens, and answer it; returns from which number on."""
        client, empty, asked = await self._router.recv_multipart()
        assert empty == b""
        if not self._heard:  # what is published before is lost, as it should be: by tests that say so
            assert await self._pub.recv() == b"\x01"
            self._heard = True
        topic = (b"",) if self._with_topic else ()
        for number, payload in self.engine.replay(int.from_bytes(asked, "big")):
            await self._router.send_multipart((client, b"", *topic, number.to_bytes(8, "big"), payload))
        await self._router.send_multipart((client, b"", *topic, END, b""))
        return int.from_bytes(asked, "big")

    def close(self) -> None:
        self._pub.close(linger=0)
        self._router.close(linger=0)
        self._context.term()
