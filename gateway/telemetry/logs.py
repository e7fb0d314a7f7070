"""The gateway's own log: one event per line on stderr, JSON or for people; the access log is another thing.

stderr belongs to whoever started us, and may stand still for ever. So once `start` was called all that this process
says there goes through one bounded outlet (`gateway.telemetry.outlet`): our events, what libraries log and warn of,
uncaught exceptions, whatever is printed to `sys.stderr`. Nothing of it waits or raises, and what is lost is counted.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog

from gateway.telemetry.line_bound import CUTS, LINE_BYTES, cut
from gateway.telemetry.outlet import Outlet
from gateway.telemetry.standard_streams import LineStream, hold_descriptors
from gateway.telemetry.target import Target
from gateway.telemetry.terminal import is_terminal, takes_colours

BOUND_BYTES = 1024 * 1024
CLOSE_S = 2.0
"""How long the end of the process waits for a reader."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_log = structlog.get_logger("gateway.telemetry")
_render = structlog.processors.JSONRenderer()


class ProcessLog:
    """stderr, for one process. Its methods may be called on any thread, the outlet's own included."""

    def __init__(self) -> None:
        # Reentrant: what is freed while a line is put may warn, and the warning is a line.
        self._lock = threading.RLock()
        self._outlet = Outlet(
            "process_log",
            Target("stderr"),
            on_failure=_ignore,  # there is nobody else to tell
            on_return=lambda lines: _log.warning("log lines were dropped", lines_dropped=lines),
            bound_bytes=BOUND_BYTES,
        )

    @property
    def dropped(self) -> int:
        """Lines that were not written and never will be."""
        return self._outlet.dropped

    def put(self, text: str) -> None:
        """Take whole lines. Never waits, never raises."""
        block = text.encode(errors="backslashreplace")
        with self._lock:
            self._outlet.put(block)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Write what waits, for at most so long."""
        with self._lock:
            if not self._outlet.end():
                return
        self._outlet.join(timeout_s)  # without the lock: whoever has something to say meanwhile does not wait
        with self._lock:
            self._outlet.give_up()


_started: list[ProcessLog] = []
"""At most one: stderr is the process's, so this is too."""


def start() -> None:
    """Take over stderr for the life of the process; to be called before anything is opened. The second call is none."""
    if _started:
        return
    hold_descriptors()
    process_log = ProcessLog()
    _started.append(process_log)
    sys.stderr = LineStream(process_log.put, 2)
    atexit.register(process_log.close)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.addHandler(_Handler())
    root.setLevel(logging.WARNING)
    _configure("info", "console", cache=False)


def configure(level: str, form: str) -> None:
    """Set up structlog for the process. `level` and `form` are those of `telemetry.log_level` and `log_format`."""
    _configure(level, form, cache=True)


def readable(form: str) -> bool:
    """Whether lines in this `telemetry.log_format` are for people here, and not JSON."""
    return form == "console" or (form == "auto" and is_terminal(2))


def dropped() -> int:
    """Lines of this process's log that were not written and never will be."""
    return sum(process_log.dropped for process_log in _started)


def close(timeout_s: float = CLOSE_S) -> None:
    """Write what waits, for at most so long; the end of the process does it too."""
    for process_log in _started:
        process_log.close(timeout_s)


def _configure(level: str, form: str, *, cache: bool) -> None:
    people = readable(form)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=True),
            structlog.processors.format_exc_info,
            _readable() if people else _json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_logger,
        cache_logger_on_first_use=cache,
    )


def _readable() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=takes_colours(2), pad_event_to=0, pad_level=False, exception_formatter=structlog.dev.plain_traceback
    )


def _json(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    """One line, its texts cut where it would be too long; of an exception the end says most."""
    line = str(_render(logger, name, event))
    for most in CUTS:
        if len(line) < LINE_BYTES:  # it is ASCII, and its end is still to come
            break
        for key, value in event.items():
            text = value if isinstance(value, str) else str(value) if isinstance(value, (list, dict, tuple)) else ""
            if len(text) > most:
                event[key] = cut(text, most, keep_end=key == "exception")
        line = str(_render(logger, name, event))
    return line


def _logger(*_: Any) -> Any:
    return _Lines(_started[0]) if _started else structlog.PrintLogger(sys.stderr)


class _Lines:
    """The last of structlog's steps."""

    def __init__(self, process_log: ProcessLog) -> None:
        self._process_log = process_log

    def msg(self, message: str) -> None:
        self._process_log.put(message + "\n")

    debug = info = warning = error = critical = exception = fatal = log = msg


class _Handler(logging.Handler):
    """What libraries log (asyncio, the exporter of spans, `warnings`) as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
        except Exception:
            self.handleError(record)


def _uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    _log.critical("uncaught exception", exc_info=(kind, error, traceback))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread is not None else ""
        _log.critical("uncaught exception", thread=name, exc_info=args.exc_value)


def _unraisable(args: Any) -> None:
    _log.error(args.err_msg or "exception ignored", where=repr(args.object), exc_info=args.exc_value)


def _ignore(_reason: str) -> None: ...
