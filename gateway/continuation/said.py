"""What has left of one stream: its text, and what its events have in common.

Events are kept as they left, which costs a reference each, and read only when the engine dies or `RAW_BYTES` of them
are there: most streams end before either.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engines.sse import payload, split

RAW_BYTES: Final = 16 * 1024
"""A few dozen events, which take 0.1 ms to read."""

_ABSENT: Final = msgspec.Raw(b"")


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw = _ABSENT
    audio: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = msgspec.field(default_factory=list)
    id: msgspec.Raw = _ABSENT
    created: msgspec.Raw = _ABSENT
    model: msgspec.Raw = _ABSENT
    system_fingerprint: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Event).decode
_COMMON: Final = ("id", "created", "model", "system_fingerprint")


class Said:
    """Takes the events of one stream as they leave."""

    def __init__(self, raw_bytes: int = RAW_BYTES) -> None:
        self._most_raw_bytes = raw_bytes
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._texts: list[str] = []
        self.pieces = 0
        """Events with text in them so far: about as many tokens."""
        self.text_bytes = 0
        """Of the text that is kept."""
        self.frame: dict[str, bytes] = {}
        """The members that all events of the stream share, as they stand in its first; empty before it."""
        self.odd = ""
        """Why what was said cannot be the beginning of another answer; empty when it can."""
        self.finished = False

    def take(self, events: list[bytes]) -> bool:
        """Note events, or blocks of them, that leave now; returns whether what is kept has grown by being read."""
        self._raw += events
        for event in events:
            self._raw_bytes += len(event)
        if self._raw_bytes < self._most_raw_bytes:
            return False
        self.read()
        return True

    def read(self) -> None:
        """Read what was kept unread."""
        raw, self._raw, self._raw_bytes = self._raw, [], 0
        for block in raw:
            for event in split(block):
                self._read(payload(event))

    @property
    def text(self) -> str:
        """All of it, once it is read."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0] if self._texts else ""

    def _read(self, data: bytes) -> None:
        if not data or data.startswith(b"[DONE]"):
            return
        try:
            event = _decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self.odd = self.odd or "unreadable"
            return
        if not self.frame:
            self.frame = {name: bytes(raw) for name in _COMMON if (raw := getattr(event, name))}
        for choice in event.choices:
            self._take(choice)

    def _take(self, choice: _Choice) -> None:
        delta = choice.delta
        text = choice.text
        if delta is not None:
            text = delta.content
            if delta.reasoning or delta.reasoning_content:
                self.odd = self.odd or "reasoning"
            elif delta.tool_calls or delta.function_call or delta.audio or delta.refusal:
                self.odd = self.odd or "tools"
        if choice.index:
            self.odd = self.odd or "choices"
        if choice.finish_reason:
            self.finished = True
        if text:
            self.pieces += 1
            self._texts.append(text)
            self.text_bytes += len(text.encode("utf-8", "surrogatepass"))
