"""What operators write: hooks that redact, and hooks that fail."""

from __future__ import annotations

import re
import sys
from typing import Any

from gateway.store.contents.content import ContentRecord

_ADDRESS = re.compile(r'[^\s"@]+@[^\s"@]+')
no_function = 3


def hide_addresses(record: ContentRecord) -> ContentRecord:
    record.prompt = _ADDRESS.sub("(address)", record.prompt)
    record.answer = _ADDRESS.sub("(address)", record.answer)
    return record


def keep_nothing(record: ContentRecord) -> None:
    return None


def raises(record: ContentRecord) -> ContentRecord:
    raise ValueError(f"secret {record.prompt}")


def returns_nonsense(record: ContentRecord) -> Any:
    return record.prompt


def renames(record: ContentRecord) -> ContentRecord:
    return ContentRecord("f" * 32, "other", "", "", "", "\ud800 and \x00", record.answer)


def exits(record: ContentRecord) -> ContentRecord:
    sys.exit(record.prompt)


def returns_what_is_no_text(record: ContentRecord) -> ContentRecord:
    return ContentRecord(record.record_id, "\ud800", "", "", "", "\ud800", record.answer, cut=2**70)
