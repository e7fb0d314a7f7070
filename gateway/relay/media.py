"""An answer that is a sound: it passes as it comes, one read at a time, from its first byte on.

Nothing in it can be read, so an engine that fails after that byte is told by a cut. What an engine says in JSON in a
sound's place is an error, or no sound: it is a document (`relay.document`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.port import Sink
from gateway.relay.account import Account, broken
from gateway.relay.headers import media_type, passed_headers

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.port import Headers
    from gateway.attempt import Attempt
    from gateway.reply import Reply


def is_media(headers: Headers) -> bool:
    """Whether what has these headers is neither text nor JSON."""
    kind = media_type(headers)
    return bool(kind) and not (kind == b"application/json" or kind.endswith(b"+json") or kind.startswith(b"text/"))


class MediaRelay(Sink):
    """Takes one."""

    __slots__ = ("_account", "_attempt", "_begun", "_parts", "_reply")

    def __init__(self, account: Account, attempt: Attempt, reply: Reply) -> None:
        self._account = account
        self._attempt = attempt
        self._reply = reply
        self._parts: list[bytes] = []
        """What the read in progress has brought: it leaves together."""
        self._begun = False

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        self._parts.append(data)

    def flush(self) -> None:
        parts = self._parts
        if not parts:
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        head = b""
        if not self._begun:
            self._begun = True
            head = self._begin()
        self._reply.pass_on(self._attempt.status, head, data)

    def _begin(self) -> bytes:
        """It is used from now on. Returns its head."""
        self._attempt.works()
        self._account.committed()
        return passed_headers(self._attempt.headers) + self._account.head_down()

    def done(self) -> None:
        self.flush()
        if not self._begun:
            self._attempt.said_nothing()
            return
        self._account.settle(self._attempt.status)
        self._reply.end()

    def failed(self, error: EngineError) -> None:
        self._parts.clear()
        broken(self._account, self._attempt, error)
