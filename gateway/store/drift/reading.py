"""A sample of answers, read where contents arrive and forgotten at once: what stays of each is a mark
(`routing.drift.texts`), by the id of its record, until its hour is summed up.

It reads what the model's `records.redact` has left, as everybody does here, and keeps no text any longer than the call.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from engines.model import Operation
from gateway.store.contents.content import ANSWER_CUT, Content, ContentRecord
from routing.drift.texts import marks_of
from routing.experiments.shadowing import ShadowSample

MOST_WAITING: Final = 100_000
"""Marks that wait for the database; more are dropped, the oldest first."""
AT_ONCE: Final = 1_000
"""In one transaction."""
OPERATIONS: Final = frozenset(
    operation.value for operation in (Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.MESSAGES)
)
"""Whose answers are texts."""


class Mark(NamedTuple):
    """What was read of one answer."""

    record_id: str
    marks: int


class Reading:
    """Reads on the thread of the keeper of contents, and gives away on any other."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque(maxlen=MOST_WAITING)

    def take(self, content: Content, record: ContentRecord) -> None:
        """Read an answer, if it is of the sample."""
        share = content.text_share
        if not share or content.operation not in OPERATIONS:
            return
        if share < 1.0 and not ShadowSample("drift", "texts", share).takes(content.record_id):
            return
        marks = marks_of(record.answer, whole=not record.cut & ANSWER_CUT, asks_json=content.asks_json)
        if marks:
            self._marks.append(Mark(content.record_id, marks))

    def given(self) -> list[Mark]:
        """The oldest of what was read."""
        return [self._marks[at] for at in range(min(AT_ONCE, len(self._marks)))]

    def kept(self, some: list[Mark]) -> None:
        """These need not be given again."""
        kept = {mark.record_id for mark in some}
        while self._marks and self._marks[0].record_id in kept:
            self._marks.popleft()
