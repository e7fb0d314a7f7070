"""Reads one answer after another off a connection and hands each, piece by piece, to the sink of its call.

Promises, each with a test:
- the sink hears `head`, then `data`..., and nothing once the call has been dropped;
- an answer that both chunks and counts its body, or counts it twice, or has a status that is none, is refused, and so
  is one whose head, trailers or error body are over their limits;
- bytes past the answer's end never reach a sink.

Framing is httptools' (llhttp, strict): 0.3 us per chunk, measured. httptools sets no limits, so we do. No callback
raises: what is wrong with the answer is kept in `problem`, so that no traceback holds a connection.

An answer whose head is a familiar one is not parsed: its body is counted here, and the parser stays where it was,
between two answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httptools

from engines.errors import AnswerTruncated, BadAnswer, EngineError
from engines.http1.coding import CODINGS, Decoder, Unpackable
from engines.http1.familiar import Familiar
from engines.http1.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.http1.call import Call
    from engines.http1.familiar import FamiliarAnswer
    from engines.port import Headers


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an answer we read before we call it endless."""

    head_bytes: int = 64 * 1024
    silent_bytes: int = 64 * 1024
    """Bytes after the head that bring no body: trailers, chunk extensions."""
    error_bytes: int = 1024 * 1024
    """The body of an answer whose status is 400 or more; it ends there, for its status is what matters."""
    length_bytes: int = 1 << 40
    """A content-length over this is no length."""


LIMITS: Final = Limits()

# How far the answer has come. Numbers, because the order is compared for every read.
WAITING: Final = 0
STARTED: Final = 1
HEAD: Final = 2
BODY: Final = 3
GUARDED: Final = 4
"""In a body that goes through a guard."""
WHOLE: Final = 5


BLANK: Final = 32
"""No byte above it is one that `rstrip` takes."""


def _nothing(data: bytes) -> None:
    """What takes a read once nobody wants it."""


class Answer:
    """What comes back on one connection, one answer at a time."""

    __slots__ = (
        "_call",
        "_familiar",
        "_fields",
        "_headers",
        "_left_bytes",
        "_limits",
        "_opening",
        "_parser",
        "_silent_bytes",
        "_untrusted",
        "body_came",
        "excess",
        "feed",
        "guard",
        "head_bytes",
        "keep_alive",
        "paused",
        "phase",
        "problem",
        "room_bytes",
        "until_close",
    )

    def __init__(self, limits: Limits = LIMITS, familiar: Familiar | None = None) -> None:
        """`familiar` is what other connections to the same origin know of its answers."""
        self._limits = limits
        self._familiar = Familiar() if familiar is None else familiar
        parser = httptools.HttpResponseParser(self)
        self._parser: httptools.HttpResponseParser | None = parser
        self.feed: Callable[[bytes], None] = parser.feed_data
        """Takes one read: the parser's own method, which spares a call for each chunk. What it raises is `broken`'s."""
        self._call: Call | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._fields: dict[bytes, bytes] = {}
        """The same by name, the last of each; filled on the way, for `dict(headers)` takes as long as the parser."""
        self.guard: Guard | None = None
        """Of a body that is not passed on as it comes."""
        self._opening = b""
        """The read that begins an answer, while it is parsed and may yet begin with a head that is worth knowing."""
        self._left_bytes = 0
        """How much of the body behind a familiar head has not come."""
        self._untrusted = False
        """Whether the framing is one that HTTP/1.0 does not have."""
        self.paused = False
        """Whether the sink wants no more for now; only what a guard holds heeds it, the rest is not read at all."""
        self.head_bytes = 0
        """Size of the reads that brought the head; the connection counts them."""
        self._silent_bytes = 0
        self.room_bytes = -1
        """How much of an error's body may still come; -1 for an answer that is none."""
        self.phase: int = WAITING
        self.problem: EngineError | None = None
        """Why the answer is refused."""
        self.body_came = False
        """Whether body bytes have come of an answer that goes on, since this was last set to False."""
        self.until_close = False
        """Whether only the end of the connection ends the body."""
        self.excess = False
        """Whether bytes came past the answer's end."""
        self.keep_alive = False

    def expect(self, call: Call) -> None:
        """The next answer is the one to `call`. What is not reset is set with each head or costs the connection."""
        self._call = call
        if self._headers:  # not so after a familiar head
            self._headers = []
            self._fields = {}
        self.head_bytes = self._silent_bytes = 0
        self.phase = WAITING

    def begin(self, data: bytes) -> None:
        """Take a read that begins the answer or goes on with its head. What it raises is `broken`'s."""
        if self.phase == WAITING:
            known, call = self._familiar.known, self._call
            if known is not None and call is not None and known.met(data):
                self._begin_known(call, known, data)
                return
            self._opening = data
        self.phase = STARTED
        self.head_bytes += len(data)
        self.feed(data)
        self._opening = b""

    def hand_over(self) -> None:
        """Pass on what waits in the guard, as long as the sink wants it."""
        guard = self.guard
        try:
            while guard is not None and not self.paused:
                piece = guard.take()
                if not piece:
                    break
                self._pass_on(piece)
                guard = self.guard  # gone if the call was aborted within
            if guard is not None and self.phase == WHOLE and not guard.held:
                self._pass_on(guard.rest())
        except Unpackable as error:
            self._refuse(f"the engine's answer {error}")

    def end(self, whole: bool) -> None:
        """The connection has ended, and so has the body if `whole`: pass on what waits in the guard, wanted or not."""
        if whole:
            self.phase = WHOLE
        if self.guard is not None:
            self.paused = False
            self.hand_over()

    def _pass_on(self, piece: bytes) -> None:
        call = self._call
        if call is not None and self.problem is None and piece:
            if self.phase == HEAD:
                self.phase = GUARDED
            self.body_came = self.phase != WHOLE
            call.sink.data(piece)

    def close(self) -> None:
        """Read nothing more. The parser holds us, and we hold it: let go."""
        self._call = None
        self._parser = None
        self.guard = None
        self._opening = b""
        self.body_came = False
        self.feed = _nothing

    def broken(self, error: Exception) -> BaseException | None:
        """`feed` raised this. Returns what a sink raised, if it was one; `problem` and `excess` say the rest."""
        if isinstance(error, httptools.HttpParserCallbackError):
            self._refuse("the engine's answer could not be read")
            return error.__context__ or error
        if not isinstance(error, (httptools.HttpParserError, httptools.HttpParserUpgrade)):  # no parser stood between
            self._refuse("the engine's answer could not be read")
            return error
        if self.phase == WHOLE:  # junk past the answer: as in `on_message_begin`
            self.excess = True
        else:
            self._refuse(f"the engine's answer is not valid HTTP: {error}")
        return None

    def is_enough(self, size: int) -> bool:
        """Whether the last read, of this many bytes, is all we want of the body of an error."""
        if self.room_bytes < 0:
            return False
        self.room_bytes = max(0, self.room_bytes - size)
        return self.room_bytes == 0

    def no_body(self, size: int) -> None:
        """The last read, of this many bytes, brought no body; see whether it goes on without end."""
        limits = self._limits
        if self.phase < HEAD:
            if self.head_bytes > limits.head_bytes:
                self._refuse(self._too_long())
        else:
            self._silent_bytes += size
            if self._silent_bytes > limits.head_bytes + limits.silent_bytes:  # the head's last read may count here
                self._refuse("the engine sent trailers without end")

    # -- httptools callbacks -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.phase == WHOLE:
            self.excess = True  # bytes past the answer, in the same read: the answer stands, the connection does not

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase < HEAD:  # later ones are trailers: nobody asked for them
            name = name.lower()
            if value and value[-1] <= BLANK:  # the parser leaves what stands behind
                # But for a coding that the parser does not know with a tab behind it: it saw no chunks.
                value = value.rstrip(b" " if name == b"transfer-encoding" else b" \t")
            self._headers.append((name, value))
            self._fields[name] = value

    def on_headers_complete(self) -> None:
        call, parser = self._call, self._parser
        if call is None or parser is None or self.phase == WHOLE or self.problem is not None:
            return
        status = parser.get_status_code()
        if status < 200:
            # An interim answer (RFC 9110 section 15.2): skip it and wait for the final one.
            if status == 101:
                self._refuse("the engine wants to switch protocols")
            elif status < 100:
                self._refuse(f"the engine answered with the status {status:03d}, which is none")
            self._headers = []
            self._fields = {}
            self._opening = b""
            return
        headers = self._headers
        limits = self._limits
        if self.head_bytes > limits.head_bytes and sum([len(n) + len(v) + 4 for n, v in headers]) > limits.head_bytes:
            self._refuse(self._too_long())
            return
        fields = self._fields
        coding = fields.get(b"transfer-encoding")
        length = fields.get(b"content-length")
        if len(fields) != len(headers):
            names = [name for name, _ in headers]
            if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
                self._refuse("the engine stated the length of its answer twice")
                return
        if coding is not None:
            if coding.lower() != b"chunked":
                self._refuse("the engine used a transfer coding other than chunked")
                return
            self._untrusted = parser.get_http_version() == "1.0"  # RFC 9112 section 6.1
            if length is not None:
                self._refuse("the engine sent both content-length and transfer-encoding")
                return
        elif length is not None and len(length) > 9 and int(length.lstrip(b"0")[:20] or b"0") > limits.length_bytes:
            # llhttp has checked that these are digits under 2**64; `int` refuses more than some thousand of them.
            self._refuse("the engine stated a length that no answer has")
            return
        if status >= 400:
            if status > 599:
                self._refuse(f"the engine answered with the status {status}, which is none")
                return
            self.room_bytes = limits.error_bytes
        else:
            self.room_bytes = -1
        self.until_close = coding is None and length is None and status not in (204, 304)
        packed = fields.get(b"content-encoding")
        opening = self._opening
        if opening:
            self._opening = b""
            if length is not None and status == 200 and packed is None and parser.should_keep_alive():
                self._familiar.learn(opening, headers, length, limits.length_bytes)
        self._head(call, status, headers, packed)

    def on_body(self, body: bytes) -> None:
        call = self._call
        if call is not None:
            if self.phase == BODY:
                self.body_came = True
                call.sink.data(body)
            elif self.problem is not None or self.phase == WHOLE:
                pass
            elif self.guard is not None:
                self.guard.push(body)
                self.hand_over()
            elif self.phase == HEAD:
                self.phase = BODY
                self.body_came = True
                call.sink.data(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is not None:
            self._complete(parser.should_keep_alive() and not self._untrusted)  # the parser forgets afterwards

    # -- heads that come again -----------------------------------------------------------------------------------------

    def _begin_known(self, call: Call, known: FamiliarAnswer, data: bytes) -> None:
        """The head has come again, and perhaps its body or a part of it."""
        self._familiar.met()
        self.room_bytes = -1
        self.until_close = False
        at, length = known.body_at, known.length
        self._head(call, 200, known.headers(), None)
        size = len(data) - at
        if size:
            self.on_body(data[at:])
        if size == length:
            self._complete(True)
        elif self._call is not None:  # not aborted from within
            self._left_bytes = length - size
            self.feed = self._count

    def _count(self, data: bytes) -> None:
        """The next piece of a body behind such a head, and perhaps what follows it: the parser judges that."""
        left, size, parser = self._left_bytes, len(data), self._parser
        if size < left:
            self._left_bytes = left - size
            self.on_body(data)
        elif parser is not None:
            self.feed = parser.feed_data
            self.on_body(data if size == left else data[:left])
            self._complete(True)
            if size > left:
                parser.feed_data(data[left:])

    # -- inside --------------------------------------------------------------------------------------------------------

    def _head(self, call: Call, status: int, headers: Headers, packed: bytes | None) -> None:
        """The head is read, and found good: tell it. `packed` is the coding of the body."""
        self.phase = HEAD
        self.excess = False
        self.guard = None
        secrets = call.secrets
        if packed is not None:
            packed = packed.lower()
            if packed in CODINGS:
                most = self.room_bytes if self.room_bytes >= 0 else None
                self.guard = Guard(Decoder(packed, most), secrets)
                headers = [field for field in headers if field[0] not in (b"content-encoding", b"content-length")]
        if secrets is not None:
            if self.guard is None:
                self.guard = Guard(None, secrets)
            call.sink.head(status, secrets.hide_in(headers))
        else:
            call.sink.head(status, headers)

    def _complete(self, keep_alive: bool) -> None:
        """The body has come; whether another answer may follow."""
        if self._parser is not None and self.problem is None and HEAD <= self.phase < WHOLE:
            self.phase = WHOLE
            self.body_came = False
            if self.guard is not None:
                self.hand_over()
            self.keep_alive = keep_alive

    def _refuse(self, why: str) -> None:
        """The first thing that is wrong is the one that is told."""
        self.body_came = False
        if self.problem is None:
            self.problem = AnswerTruncated(why) if self.phase >= BODY else BadAnswer(why)

    def _too_long(self) -> str:
        return f"the engine's response headers are over {self._limits.head_bytes} bytes"
