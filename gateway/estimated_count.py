"""How many tokens a message would be, of a model whose engines have no word for the question: an estimate of our own.

It is what routing and budgets go by, too: the bytes of the request by the tokens for each that the model's engines have
reported, and 1,600 for each picture. Nobody is asked, and the answer says that it is an estimate.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from engines.model import Operation
from engines.operations import OPERATION_KEYS
from gateway.accounts.lost import PICTURE_TOKENS, pictures_in
from gateway.errors import Failure
from gateway.explanation.flight import ExplainedFlight
from gateway.guarded import guarded
from gateway.preparing import AT_ONCE_BYTES
from gateway.translating import AT_ONCE_ELEMENTS

if TYPE_CHECKING:
    from routing.route import ModelRoute
    from routing.tokens import TokenEstimate

_MESSAGES: Final = OPERATION_KEYS[Operation.MESSAGES]
_COUNT: Final = OPERATION_KEYS[Operation.COUNT_TOKENS]
_ALL: Final = float("inf")
_HEAD: Final = b"content-type: application/json\r\nx-penstock-count: estimated\r\n"


def is_estimated(spoken: str, route: ModelRoute) -> bool:
    """Whether this operation is a count that no engine of the model makes, though messages can be sent there."""
    return spoken == _COUNT and _COUNT not in route.speakers and _MESSAGES in route.speakers


def estimate(tokens: TokenEstimate, body: bytes) -> int:
    """Of a request for messages. `tokens`: what is known of the model."""
    pictures, data_bytes = pictures_in(body)
    return tokens.prompt_tokens(len(body) - data_bytes) + pictures * PICTURE_TOKENS


class EstimatedCount(ExplainedFlight):
    """A request that is answered here."""

    def begin(self) -> None:
        """Read it, for what is no request is refused as an engine would; what is large in turns of the loop."""
        prompt = self._prompt
        if self.settled or prompt is None:
            return
        small = self.prompt_bytes <= AT_ONCE_BYTES
        if not prompt.understand(_ALL if small else AT_ONCE_ELEMENTS):
            self._loop.call_soon(partial(guarded, self, self.begin))
            return
        understood = prompt.understood_unary()
        if understood.request is None:
            self.fail(Failure("invalid_field", understood.unreadable, understood.param))
            return
        told = b'{"input_tokens":%d,"estimated":true}' % estimate(self.tokens, prompt.body)
        headers = _HEAD + self.head_down()
        self.settle(200)
        self.reply.respond(200, headers, told)
