"""The operator's hooks: `module:function(record) -> record | None`, called for each content before any of it is kept.

A hook that cannot be imported, raises, exits, or returns what is no record, drops the content: what it has not approved
is not kept. The log says so without a word of the content, so also without the message of the exception, which may
quote it.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from gateway.store.contents.content import ANSWER_CUT, PROMPT_CUT, ContentRecord, storable

Hook = Callable[[ContentRecord], Any]
REDACTION: Final = "redaction"
WITHHELD: Final = "withheld"
_TEXTS: Final = "model", "operation", "key_id", "tenant", "prompt", "answer"

log = structlog.get_logger()


class Redaction:
    """Knows the hooks by their names. For several threads: hooks are called one at a time."""

    def __init__(self) -> None:
        self._hooks: dict[str, Hook | None] = {}
        self._one = threading.Lock()

    def apply(self, name: str, record: ContentRecord) -> ContentRecord | str:
        """What may be kept of a record; else why it is dropped."""
        if not name:
            return record
        with self._one:
            return self._applied(name, record)

    def _applied(self, name: str, record: ContentRecord) -> ContentRecord | str:
        hook = self._hook(name)
        if hook is None:
            return REDACTION
        identity = record.record_id
        try:
            kept = hook(record)
            if kept is None:
                return WITHHELD
            # Made anew: it is checked to be a record, and is ours alone from now on.
            kept = msgspec.convert(msgspec.to_builtins(kept), ContentRecord)
            for text in _TEXTS:
                setattr(kept, text, storable(getattr(kept, text)))
            kept.cut &= PROMPT_CUT | ANSWER_CUT
        except BaseException as error:  # `sys.exit()` in a hook is no reason to keep nothing from now on
            log.error("redaction_failed", hook=name, record=identity, why=type(error).__name__)
            return REDACTION
        kept.record_id = identity
        return kept

    def _hook(self, name: str) -> Hook | None:
        if name in self._hooks:
            return self._hooks[name]
        module, _, function = name.partition(":")
        hook: Hook | None = None
        try:
            found = getattr(importlib.import_module(module), function)
            if not callable(found):
                raise TypeError(f"{function} is no function")
            hook = found
        except BaseException as error:
            log.error("redaction_missing", hook=name, why=str(error), what="no content of its models is kept")
        self._hooks[name] = hook
        return hook
