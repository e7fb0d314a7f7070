"""The content of one request: as a worker sends it, and as it is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from engines.wire.texts import answer_text

PROMPT_CUT: Final = 1
ANSWER_CUT: Final = 2


class Content(msgspec.Struct, array_like=True, gc=False):
    """What a worker has heard of one request."""

    record_id: str
    model: str
    operation: str
    key_id: str
    tenant: str
    prompt: bytes
    """The body of the request as it came, or its first bytes."""
    answer: str
    """The text of a stream."""
    document: bytes
    """A plain answer as it came."""
    cut: int
    """Which of them is not all: `PROMPT_CUT`, `ANSWER_CUT`."""
    most_bytes: int
    """Kept of each."""
    redact: str
    """`module:function`; empty where nothing is redacted."""
    keeps: bool = True
    """Whether it is kept; else it is only compared."""
    pair: str = ""
    """The record id of the request, of one that was copied and of its copy; empty where nothing is compared."""
    text_share: float = 0.0
    """What part of such answers drift reads; 1 where this one was taken for that."""
    asks_json: bool = False
    """Whether the request asks for JSON."""


class ContentRecord(msgspec.Struct, gc=False):
    """What is kept of one request, and what a redaction hook is given: it changes `prompt` and `answer`, or returns
    another record, or None for nothing of it to be kept."""

    record_id: str
    """Of the request: 32 hex digits, which begin with the time of its arrival."""
    model: str
    operation: str
    key_id: str
    tenant: str
    prompt: str
    """The body of the request, JSON as the client sent it; without its end where it was too long."""
    answer: str
    """What the model said, called and refused, as text."""
    cut: int = 0
    """1 where the end of the prompt is missing, 2 where that of the answer is, 3 where both are."""

    @property
    def time(self) -> datetime:
        """When the request came."""
        return datetime.fromtimestamp(int(self.record_id[:12], 16) / 1000, UTC)


def storable(text: str) -> str:
    """As files and both databases take it: a hook may have made anything."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def record_of(content: Content) -> ContentRecord:
    """The content as text, cut to its size."""
    answer, cut = content.answer, content.cut
    if content.document and not cut & ANSWER_CUT:  # one that was cut cannot be read
        answer = answer_text(content.document)
    data = answer.encode("utf-8", "replace")
    if len(data) > content.most_bytes:
        data, cut = data[: content.most_bytes], cut | ANSWER_CUT
    return ContentRecord(
        content.record_id,
        content.model,
        content.operation,
        content.key_id,
        content.tenant,
        content.prompt.decode("utf-8", "ignore" if cut & PROMPT_CUT else "replace"),
        data.decode("utf-8", "ignore"),
        cut,
    )
