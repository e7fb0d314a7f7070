"""Answers that are one document, in another format than their client's: embeddings and rerank."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from engines.port import Sink
from engines.wire.unary.port import Misread
from gateway.accounts.costs import in_digits
from gateway.errors import Failure
from gateway.relay.account import UNNAMED, Account, kind_of
from gateway.relay.translated import MAX_BYTES, error_document, others
from gateway.reply import JSON

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.port import Headers
    from engines.wire.unary.port import Told
    from gateway.attempt import Attempt
    from gateway.body.prompt import Prompt
    from gateway.reply import Reply


AT_ONCE_BYTES: Final = 64 * 1024
"""Written of an answer before the loop sees to others: 2 ms where numbers are read, measured."""


class UnaryDocument(Sink):
    """Takes one document, whole; a large one is written in turns with whatever else the loop has to do."""

    __slots__ = ("_account", "_attempt", "_dropped", "_form", "_held", "_reply", "_request", "_told", "_written")

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
        self._told: Told | None = None
        self._written: list[bytes] = []

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_BYTES:
            self._attempt.refuse(UNNAMED, error_document(f"the engine sent an answer over {MAX_BYTES} bytes"))

    def flush(self) -> None:
        pass

    def done(self) -> None:
        attempt = self._attempt
        assert self._request is not None  # it was sent
        body = bytes(self._held)
        self._held.clear()
        try:
            self._told = self._form.decode_answer(attempt.upstream.model, self._request, body)
        except Misread as error:
            attempt.refuse(UNNAMED, error_document(str(error)))
            return
        attempt.usage = self._told.usage  # which is charged for though the client may leave
        attempt.exchange = None  # it is over
        self._write()

    def _write(self) -> None:
        """Go on with the answer, until it is whole or others want to be seen to."""
        attempt, told = self._attempt, self._told
        assert told is not None
        if attempt.over:  # the client left
            return
        size = 0
        try:
            for part in told.parts:
                self._written.append(part)
                size += len(part)
                if size > AT_ONCE_BYTES:
                    asyncio.get_running_loop().call_soon(self._write)
                    return
        except Misread as error:
            attempt.refuse(UNNAMED, error_document(str(error)))
            return
        self._tell(b"".join(self._written))

    def _tell(self, body: bytes) -> None:
        account, attempt = self._account, self._attempt
        if self._reply.status:
            attempt.unfit()
            return
        attempt.works()
        account.settle(attempt.status)
        headers = JSON + others(attempt.headers, "openai") + account.head_down() + self._dropped
        cost_usd = account.cost_usd
        if cost_usd is not None:
            headers += b"x-penstock-cost-usd: %b\r\n" % in_digits(cost_usd)
        self._reply.respond(attempt.status, headers, body)

    def failed(self, error: EngineError) -> None:
        if self._attempt.is_engines_fault(error):
            self._attempt.broke()
        else:
            self._attempt.works()
        self._account.fail(Failure(kind_of(error), f"model {self._account.model!r}: {error}"))
