"""Answers that are one document, in another format than their client's: embeddings and rerank."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

import structlog

from engines.port import Sink
from engines.wire.bulk import LISTS_AND_OBJECTS, over
from engines.wire.refusals import stray_error
from engines.wire.unary.port import Misread, pieces
from gateway.errors import Failure
from gateway.relay.account import UNNAMED, Account, broken, whole
from gateway.relay.document import ERROR_BYTES
from gateway.relay.translated import NO_JSON, error_document, is_page, others
from gateway.reply import JSON

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.port import Headers
    from engines.wire.unary.port import Told
    from gateway.attempt import Attempt
    from gateway.body.prompt import Prompt
    from gateway.reply import Reply


log = structlog.get_logger()
MAX_BYTES: Final = 32 * 1024 * 1024
"""Of an answer: 2,000 texts have vectors of 1,000 numbers in it."""
LISTS_EACH: Final = 8
"""Lists and objects in an answer for each text or document of the request; providers send one to four."""
LEAST_LISTS: Final = 64
WINDOWS_AT_ONCE: Final = 16
"""Counted of an answer in one turn: a MiB of numbers, in a millisecond."""
AT_ONCE_BYTES: Final = 64 * 1024
"""Written of an answer before the loop sees to others: 2 ms where numbers are read, measured."""


class UnaryDocument(Sink):
    """Takes one document, whole; a large one is written in turns with whatever else the loop has to do."""

    __slots__ = (
        "_account",
        "_attempt",
        "_body",
        "_counting",
        "_dropped",
        "_form",
        "_held",
        "_reply",
        "_request",
        "_told",
        "_written",
    )

    def __init__(self, account: Account, attempt: Attempt, reply: Reply, prompt: Prompt) -> None:
        """`prompt` is not kept; what it asks for is, which the answer is written by."""
        understood = prompt.understood_unary()
        self._account = account
        self._attempt = attempt
        self._reply = reply
        self._form = prompt.unary_form(attempt.upstream)
        self._request = understood.request
        self._dropped = understood.dropped(attempt.upstream)
        self._held = bytearray()
        self._body = b""
        self._counting: Generator[int, None, bool] | None = None
        self._told: Told | None = None
        self._written: list[bytes] = []

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_BYTES:
            self._attempt.untellable("bad_answer", f"the engine sent an answer over {MAX_BYTES} bytes")

    def flush(self) -> None:
        pass

    def done(self) -> None:
        request = self._request
        assert request is not None  # it was sent
        self._body = bytes(self._held)
        self._held.clear()
        if not self._body:
            self._attempt.said_nothing()
            return
        if is_page(self._body):
            self._attempt.refuse(UNNAMED, error_document(NO_JSON))
            return
        self._counting = over(self._body, LEAST_LISTS + LISTS_EACH * pieces(request), LISTS_AND_OBJECTS)
        self._attempt.exchange = None  # it is over
        self._write()

    def _write(self) -> None:
        """Go on with the answer, until it is whole or others want to be seen to."""
        attempt = self._attempt
        if attempt.over:  # the client left
            return
        try:
            if not self._written_on():
                asyncio.get_running_loop().call_soon(self._write)
                return
            self._tell(b"".join(self._written))
        except Misread as error:
            said = stray_error(self._body) if len(self._body) <= ERROR_BYTES else None
            if said is not None:
                attempt.refuse(said.error_status or UNNAMED, self._body)
            else:
                attempt.untellable("bad_answer", str(error))
        except Exception:  # a later turn is the loop's alone, and the client must hear of it
            log.exception("answer_not_written")
            if not attempt.over:
                attempt.untellable("bad_answer", "the engine's answer could not be told")
            else:  # its account is closed, and perhaps nobody was told
                self._account.fail(Failure("internal", f"model {self._account.model!r}: the answer could not be told"))

    def _written_on(self) -> bool:
        """Read or write some more of it; returns whether all is written. Raises Misread."""
        told = self._told
        if told is None and not self._counted():
            return False
        if told is None:
            large = len(self._body) > AT_ONCE_BYTES
            told = self._decoded()
            if large:
                return False  # it is written in turns of its own
        size = 0
        for part in told.parts:
            self._written.append(part)
            size += len(part)
            if size > AT_ONCE_BYTES:
                return False
        return True

    def _counted(self) -> bool:
        """Whether it has been counted, and is no more than was asked for. Raises Misread."""
        counting = self._counting
        assert counting is not None
        try:
            for _ in range(WINDOWS_AT_ONCE):
                next(counting)
            return False
        except StopIteration as end:
            if end.value:
                raise Misread("the engine sent far more than it was asked for") from None
        self._counting = None
        return True

    def _decoded(self) -> Told:
        attempt, request = self._attempt, self._request
        assert request is not None
        told = self._told = self._form.decode_answer(attempt.upstream.model, request, self._body)
        self._body = b""
        attempt.usage = told.usage  # which is charged for though the client may leave
        return told

    def _tell(self, body: bytes) -> None:
        account, attempt = self._account, self._attempt
        if self._reply.status:
            attempt.unfit()
            return
        headers = JSON + others(attempt.headers, "openai") + account.head_down() + self._dropped
        whole(account, attempt, self._reply, headers, body)

    def failed(self, error: EngineError) -> None:
        broken(self._account, self._attempt, error)
