"""The standard descriptors of a process that others start: closed ones are held, and `sys.stderr` never waits.

Whoever starts us may close descriptors 0, 1 or 2; the next socket would then be called stderr, and a client would be
sent our log. Whoever starts us may also not read what we print, and the first write that finds no room would stop the
process. So what anybody prints (an uncaught traceback, a library, the banner) goes the way of the log.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable


def hold_descriptors() -> None:
    """Open `/dev/null` in place of each standard descriptor that is closed. To be called before anything is opened."""
    for wanted in (0, 1, 2):
        try:
            os.fstat(wanted)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != wanted:
                os.dup2(opened, wanted)
                os.close(opened)
            os.set_inheritable(wanted, True)


class LineStream(io.TextIOBase):
    """A text stream for `sys.stderr`: passes on whole lines, from any thread, and never waits."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, put: Callable[[str], None], descriptor: int) -> None:
        """`put` takes text that ends in a line end; `descriptor` is what `fileno` says, for children to inherit."""
        self._put = put
        self._descriptor = descriptor
        self._begun = threading.local()

    def write(self, text: str, /) -> int:
        whole, end, begun = text.rpartition("\n")
        rest = getattr(self._begun, "text", "")
        if end:
            self._put(rest + whole + end)
            self._begun.text = begun
        else:
            self._begun.text = rest + begun
        return len(text)

    def flush(self) -> None:
        """Lines are passed on as they end; a begun one waits for its end."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._descriptor
