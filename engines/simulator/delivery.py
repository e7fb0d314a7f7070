"""Carries one answer from the engine to one client, in whichever broken way was drawn for it.

No task wakes per token. The request's own task sleeps in `receive()` until the client leaves or the answer is
complete, and the engine's timer writes straight through the ASGI `send`, stepped by hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from engines.simulator.core import SimRequest
from engines.simulator.driver import Driver
from engines.simulator.failures import FailureKind
from engines.simulator.formats.job import Counts, Job, Output, Writer, error_object

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
_BROKEN_EVENT = b'data: {"choices":[{"delta":{"content":\n\n'
_IN_STREAM_MESSAGE = "EngineCore encountered an issue (simulated failure)."


def step(send: Send, message: Message) -> bool:
    """Run an ASGI send that need not wait; False, and nothing written, if it would have to.

    uvicorn's send waits for a slow client before it writes anything, so closing the waiting coroutine undoes it
    whole. A task per stream that awaits the send instead costs about 5 us more per token.
    """
    coroutine: Any = send(message)
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    coroutine.close()
    return False


class Delivery:
    """Common part: an ordered queue of ASGI messages that a slow client may hold up."""

    generates = True

    def __init__(self, send: Send, driver: Driver, close_connection: Callable[[], None]) -> None:
        self._send = send
        self._driver = driver
        self._close_connection = close_connection
        self._held: deque[Message] = deque()
        self.over = False

    def close(self) -> None:
        """The client is gone or has everything: hear and write nothing more."""
        self.over = True
        self._held.clear()

    def flush(self) -> bool:
        held = self._held
        while held:
            if not step(self._send, held[0]):
                return False
            if held:  # the send may have completed the answer
                held.popleft()
        return True

    def _write(self, message: Message) -> None:
        if self._held or not step(self._send, message):
            self._held.append(message)
            self._driver.retry_later(self)

    def _body(self, data: bytes, *, more: bool) -> None:
        self._write({"type": "http.response.body", "body": data, "more_body": more})

    def _whole(
        self,
        status: int,
        body: bytes,
        headers: HeaderList,
        *,
        declared: int | None = None,
        kind: bytes = b"application/json",
    ) -> None:
        length = (b"content-length", b"%d" % (len(body) if declared is None else declared))
        fields = [(b"content-type", kind), length, *headers]
        self._write({"type": "http.response.start", "status": status, "headers": fields})
        self._body(body, more=declared is not None)

    def reason(self, request: SimRequest) -> str:
        return "stop"

    def emitted(self, request: SimRequest, start: int, tokens: int, finished: bool) -> None:
        raise NotImplementedError


class PoolingDelivery(Delivery):
    """Embeddings and the like: one body when all prompts are through prefill."""

    generates = False

    def __init__(
        self,
        send: Send,
        driver: Driver,
        close_connection: Callable[[], None],
        prompts: int,
        body: Callable[[], bytes],
        headers: HeaderList,
    ) -> None:
        super().__init__(send, driver, close_connection)
        self._left = prompts
        self._make = body
        self._headers = headers

    def emitted(self, request: SimRequest, start: int, tokens: int, finished: bool) -> None:
        self._left -= 1
        if not self._left and not self.over:
            self._whole(200, self._make(), self._headers)


class Generation(Delivery):
    """One generated answer; its requests are added before the first `pump`."""

    def __init__(
        self,
        send: Send,
        driver: Driver,
        close_connection: Callable[[], None],
        job: Job,
        outputs: list[Output],
        writer: Writer,
        headers: HeaderList,
        failure: FailureKind | None,
    ) -> None:
        super().__init__(send, driver, close_connection)
        self.requests: list[SimRequest] = []
        self._choice: dict[int, int] = {}
        self._job = job
        self._outputs = outputs
        self._writer = writer
        self._headers = headers
        self._failure = failure
        self._left = len(outputs)
        self._break_at = max(1, len(outputs[0].pieces) // 2)

    def add(self, request: SimRequest) -> None:
        self._choice[request.id] = len(self.requests)
        self.requests.append(request)

    def reason(self, request: SimRequest) -> str:
        # vLLM's engine knows nothing of tool calls: to it such an answer stopped.
        reason = self._outputs[self._choice[request.id]].reason
        return "stop" if reason == "tool_calls" else reason

    def counts(self, *, complete: bool) -> Counts:
        cached = sum(request.cached_tokens for request in self.requests[:: self._job.choices_per_prompt])
        completion = sum(len(output.pieces) for output in self._outputs) if complete else 0
        return Counts(self._job.prompt_tokens, completion, cached)

    def emitted(self, request: SimRequest, start: int, tokens: int, finished: bool) -> None:
        if self.over:
            return
        if self._failure is not None and self._failure is FailureKind.DISCONNECT:
            self._cut()
        elif self._job.stream:
            self._stream(self._choice[request.id], start, tokens, finished)
        elif finished:
            self._left -= 1
            if not self._left:
                self._plain()

    def _stream(self, choice: int, start: int, tokens: int, finished: bool) -> None:
        writer = self._writer
        data = b"" if start else writer.first(choice, self.counts(complete=False))
        if self._failure is not None and choice == 0 and start + tokens >= self._break_at:
            sent = self._break_at - start
            data += writer.tokens(choice, start, sent)
            if self._failure is not FailureKind.MALFORMED:
                self._break(data)
                return
            self._failure = None
            data += _BROKEN_EVENT + writer.tokens(choice, start + sent, tokens - sent)
        else:
            data += writer.tokens(choice, start, tokens)
        if finished:
            data += writer.finish(choice)
            self._left -= 1
            if not self._left:
                data += writer.closing(self.counts(complete=True))
        self._body(data, more=self._left > 0)

    def _break(self, data: bytes) -> None:
        """End a stream in the middle, after `data`."""
        self.over = True
        self._cancel()
        if self._failure is FailureKind.STREAM_ERROR:
            self._body(data + self._writer.error(_IN_STREAM_MESSAGE), more=False)
        elif self._failure is FailureKind.TRUNCATED:
            self._body(data, more=False)
        else:
            self._body(data, more=True)
            self._close_connection()

    def _plain(self) -> None:
        if self._failure is FailureKind.STREAM_ERROR:
            error = error_object("InternalServerError", _IN_STREAM_MESSAGE, None, 500)
            self._whole(500, msgspec.json.encode(error), self._headers)
            return
        body = self._writer.plain(self.counts(complete=True), finished=self._failure is not FailureKind.TRUNCATED)
        if self._failure is FailureKind.MALFORMED:
            self._whole(200, body[: len(body) // 2], self._headers)
        elif self._failure is FailureKind.DISCONNECT_MID_STREAM:
            self._whole(200, body[: len(body) // 2], self._headers, declared=len(body))
            self._close_connection()
        else:
            self._whole(200, body, self._headers, kind=self._job.plain_type)

    def _cut(self) -> None:
        self.over = True
        self._cancel()
        self._close_connection()

    def _cancel(self) -> None:
        for request in self.requests:
            self._driver.cancel(request, "error")
