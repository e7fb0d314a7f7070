"""Answers that are one document, in another format than their client's: embeddings and rerank."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from gateway.attempt import Attempt
    from gateway.prompt import Prompt
    from gateway.reply import Reply


class UnaryDocument(Sink):
    """Takes one document, whole."""

    __slots__ = ("_account", "_attempt", "_dropped", "_form", "_held", "_reply", "_request")

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

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_BYTES:
            self._attempt.refuse(UNNAMED, error_document(f"the engine sent an answer over {MAX_BYTES} bytes"))

    def flush(self) -> None:
        pass

    def done(self) -> None:
        account, attempt = self._account, self._attempt
        assert self._request is not None  # it was sent
        try:
            told = self._form.decode_answer(attempt.upstream.model, self._request, bytes(self._held))
        except Misread as error:
            attempt.refuse(UNNAMED, error_document(str(error)))
            return
        if self._reply.status:
            attempt.unfit()
            return
        attempt.usage = told.usage
        attempt.works()
        account.settle(attempt.status)
        headers = JSON + others(attempt.headers, "openai") + account.head_down() + self._dropped
        cost_usd = account.cost_usd
        if cost_usd is not None:
            headers += b"x-penstock-cost-usd: %b\r\n" % in_digits(cost_usd)
        self._reply.respond(attempt.status, headers, told.body)

    def failed(self, error: EngineError) -> None:
        if self._attempt.is_engines_fault(error):
            self._attempt.broke()
        else:
            self._attempt.works()
        self._account.fail(Failure(kind_of(error), f"model {self._account.model!r}: {error}"))
