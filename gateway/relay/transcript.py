"""What one request asks and is answered, kept where its model keeps content (`models.M.records.content`), and nowhere
else. Of other models a sample of answers (`text_share`) is heard, too, for drift: whoever reads it forgets it at once,
and its prompt goes nowhere. An upstream without transcripts costs the look at one attribute, and one with a sample a
count besides.

A transcript listens to what its engine sends, and passes it on untouched. The text of a stream is taken out of its
events a few at a time, so what is held of a long answer is its text; all that is held counts among the held prompts of
the worker, whose bound it shares. What finds no room there is not kept.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from engines.port import Sink
from engines.sse import split, whole_events
from engines.wire.texts import said_in, whole
from gateway import clock
from gateway.body.json_asked import asks_json
from gateway.store.contents.content import ANSWER_CUT, PROMPT_CUT, Content

if TYPE_CHECKING:
    from engines.errors import EngineError
    from engines.model import Operation
    from engines.port import Headers
    from engines.wire.texts import Place
    from gateway.body.held import HeldPrompts
    from gateway.http.request import Request
    from gateway.identity import Principal

READ_BYTES: Final = 4 * 1024
"""Of a stream at once: some twenty events, which hold the loop for 45 us."""
DOCUMENT_BYTES: Final = 1024 * 1024
"""Of a plain answer, which is read later and must be whole for that."""
APART_S: Final = 1.0
"""Between two answers of a sample: 600,000 a week of each worker say as much as more would, and under full load a
hundredth of all would cost a hundredth of the path."""
LEAST_SHARE: Final = 1e-9
"""Of a smaller one the next answer to be heard has no number."""
EVENT_BYTES: Final = 256 * 1024
"""An event that is not whole after so many is no piece of text."""


class Heard(Protocol):
    """Whose content it is: a request, or a copy of one."""

    record_id: bytes
    model: str
    operation: Operation
    principal: Principal


class ContentSink(Protocol):
    """Takes contents without waiting; drops and counts what it cannot hold."""

    def take(self, content: Content) -> None: ...

    def no_room(self) -> None:
        """The content of a request was not kept: too much is held already."""


class Transcripts:
    """How one model keeps content."""

    __slots__ = (
        "_chance",
        "_heard_s",
        "_left",
        "_now_s",
        "held",
        "keeps",
        "most_bytes",
        "redact",
        "samples",
        "text_share",
    )

    def __init__(
        self,
        held: HeldPrompts,
        most_bytes: int,
        redact: str,
        keeps: bool = True,
        text_share: float = 0.0,
        samples: bool = False,
        chance: Callable[[], float] = random.random,
        now_s: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Unless it `keeps` them, they are only compared, or read: where it `samples`, only a part of `text_share` of
        all is heard at all, by `chance` (from 0 to 1), and none sooner than `APART_S` after another."""
        self.held: Final = held
        self.most_bytes: Final = most_bytes
        self.redact: Final = redact
        self.keeps: Final = keeps
        self.text_share: Final = text_share
        self.samples: Final = samples
        self._chance: Final = chance
        self._now_s: Final = now_s
        self._heard_s = -APART_S
        self._left = self._gap() if samples else 0

    def due(self) -> bool:
        """Whether the next answer is heard, of a sample. Counts down what is not: most cost one subtraction."""
        self._left -= 1
        if self._left > 0:
            return False
        self._left = self._gap()
        now_s = self._now_s()
        if now_s - self._heard_s < APART_S:
            return False
        self._heard_s = now_s
        return True

    def _gap(self) -> int:
        """How many answers until the next that is heard: each is by the same chance, whatever came before it."""
        if self.text_share >= 1.0:
            return 1
        share = max(self.text_share, LEAST_SHARE)
        return 1 + int(math.log1p(-self._chance()) / math.log1p(-share))


class Transcript:
    """Of one request, from the first byte of its answer on."""

    __slots__ = (
        "_asks_json",
        "_cut",
        "_full",
        "_held_bytes",
        "_kept",
        "_pair",
        "_pieces",
        "_prompt",
        "_raw",
        "_raw_bytes",
        "_room_bytes",
        "_streams",
        "_text_bytes",
    )

    def __init__(self, transcripts: Transcripts, request: Request, pair: str = "") -> None:
        """`pair`: what it is compared with has the same."""
        self._kept = transcripts
        self._pair = pair
        self._streams = False
        self._pieces: list[tuple[Place, str]] = []
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._room_bytes = 0
        """Counted for what is raw. Of a stream it is read again when that is full: events that are whole become text,
        and one that is not gets twice the room, so that its pieces are searched for its end a few times only."""
        self._text_bytes = 0
        self._held_bytes = 0
        self._cut = 0
        self._full = False
        """Nothing more of the answer is wanted."""
        self._prompt: bytes | None = None
        """None without room for it: then nothing of the request is kept."""
        body = request.body
        self._asks_json = bool(transcripts.text_share) and asks_json(body)
        if transcripts.samples:
            body = b""
        if len(body) > transcripts.most_bytes:
            body, self._cut = body[: transcripts.most_bytes], PROMPT_CUT
        if self._hold(len(body) + READ_BYTES):
            self._prompt, self._room_bytes = body, READ_BYTES

    def begin(self, streams: bool) -> None:
        """Another attempt answers from now on, with events where it `streams`. Of one before it the text stays, because
        this one may go on there."""
        if self._streams and self._raw:
            self._read(b"")
        self._streams = streams
        self._raw, self._raw_bytes = [], 0
        if not self._full:
            self._make_room(READ_BYTES)

    def _hold(self, size: int) -> bool:
        if self._kept.held.hold(size):
            self._held_bytes += size
            return True
        self._full = True
        return False

    def _make_room(self, size: int) -> bool:
        """Count so much for what is raw; False when there is not as much left."""
        more = size - self._room_bytes
        if more > 0 and not self._hold(more):
            return False
        if more < 0:
            self._held_bytes += more
            self._kept.held.release(-more)
        self._room_bytes = size
        return True

    def hear(self, data: bytes) -> None:
        """The engine has sent this."""
        if self._full:
            return
        self._raw.append(data)
        self._raw_bytes += len(data)
        if not self._streams:
            if self._raw_bytes > DOCUMENT_BYTES or not self._make_room(max(READ_BYTES, self._raw_bytes)):
                self._cut_off()
        elif self._raw_bytes >= self._room_bytes:
            self._read(b"")

    def _cut_off(self) -> None:
        self._full = True
        self._cut |= ANSWER_CUT
        self._raw, self._raw_bytes = [], 0
        self._make_room(0)

    def _read(self, end: bytes) -> None:
        """Take the text out of the events that are whole; `end` ends one that its engine has left open."""
        block = b"".join(self._raw) + end
        size = whole_events(block)
        rest = block[size:]
        self._raw, self._raw_bytes = ([rest] if rest else []), len(rest)
        room = max(READ_BYTES, min(2 * len(rest), EVENT_BYTES + 1))
        if len(rest) > EVENT_BYTES or not self._make_room(room):
            self._cut_off()
            return
        grown = 0
        for event in split(block[:size]):
            for piece in said_in(event):
                self._pieces.append(piece)
                grown += len(piece[1])
        self._text_bytes += grown
        if self._text_bytes > self._kept.most_bytes or not self._hold(grown):
            self._cut_off()

    def end(self, flight: Heard, sink: ContentSink | None) -> None:
        """The request is settled: hand on what there is, and hold nothing more."""
        if sink is not None and self._prompt is None:
            if not self._kept.samples:
                sink.no_room()
        elif sink is not None:
            self._hand_on(flight, sink)
        self._prompt = None
        self._raw, self._pieces = [], []
        self._full = True
        self._kept.held.release(self._held_bytes)
        self._held_bytes = 0

    def _hand_on(self, flight: Heard, sink: ContentSink) -> None:
        prompt = self._prompt
        assert prompt is not None
        if self._streams and self._raw:
            self._read(b"\n\n")
        document = b"" if self._streams else b"".join(self._raw)
        principal = flight.principal
        sink.take(
            Content(
                flight.record_id.decode(),
                flight.model,
                flight.operation.value,
                principal.key_id,
                principal.tenant,
                prompt,
                whole(self._pieces),
                document,
                self._cut,
                self._kept.most_bytes,
                self._kept.redact,
                self._kept.keeps,
                self._pair,
                1.0 if self._kept.samples else self._kept.text_share,
                self._asks_json,
            )
        )


class Overheard(Sink):
    """The sink of an answer, with a transcript that hears it."""

    __slots__ = ("_relay", "_transcript")

    def __init__(self, relay: Sink, transcript: Transcript) -> None:
        self._relay: Final = relay
        self._transcript: Final = transcript

    def head(self, status: int, headers: Headers) -> None:
        self._relay.head(status, headers)

    def data(self, data: bytes) -> None:
        self._transcript.hear(data)
        self._relay.data(data)

    def flush(self) -> None:
        self._relay.flush()

    def done(self) -> None:
        self._relay.done()

    def failed(self, error: EngineError) -> None:
        self._relay.failed(error)
