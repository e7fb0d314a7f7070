"""Where the records of one worker go: its access log and, when they are configured, spans."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED
from gateway.telemetry.spans import Spans, otlp_spans

if TYPE_CHECKING:
    from gateway.accounts.accounting import RecordSink
    from gateway.settings.schema import Telemetry

FLUSH_S = 0.15


class Sinks:
    """They are opened once and stay as they are for the life of the worker."""

    def __init__(self, metrics: Metrics, providers: Mapping[str, str]) -> None:
        """`providers` names the provider of each engine, for spans; whoever owns it may change it."""
        self._metrics = metrics
        self._providers = providers
        self._access_log: AccessLog | None = None
        self._spans: Spans | None = None

    def open(self, telemetry: Telemetry) -> tuple[RecordSink, ...]:
        """Open what is configured. Raises ValueError that says what cannot be written."""
        sinks: list[RecordSink] = []
        if telemetry.access_log != "off":
            try:
                self._access_log = access_log = AccessLog(telemetry.access_log)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise ValueError(f"telemetry.access_log: {telemetry.access_log} cannot be written: {reason}") from None
            self._metrics.watch_count(RECORDS_DROPPED, ("access_log",), lambda: access_log.dropped)
            sinks.append(access_log)
        otlp = telemetry.otlp
        self._spans = otlp_spans(
            otlp.endpoint if otlp is not None else None,
            {name: value.get_secret_value() for name, value in otlp.headers.items()} if otlp is not None else {},
            otlp.service_name if otlp is not None else "penstock",
            os.environ,
            self._providers,
            lambda lost: self._metrics.count(RECORDS_DROPPED, "spans", by=lost),
        )
        if self._spans is not None:
            sinks.append(self._spans)
        return tuple(sinks)

    async def flush(self) -> None:
        """Pass on what was written so far; call it each `FLUSH_S`."""
        if self._access_log is not None:
            self._access_log.flush()
        if self._spans is not None:
            self._spans.flush()

    def reopen(self) -> None:
        """Open the access log anew: it was rotated."""
        if self._access_log is not None:
            self._access_log.reopen()

    async def close(self) -> None:
        """Write out what is held. Takes a few seconds at most, in a thread: the loop has others to serve."""
        access_log, self._access_log = self._access_log, None
        spans, self._spans = self._spans, None
        if access_log is not None:
            await asyncio.to_thread(access_log.close)
        if spans is not None:
            await asyncio.to_thread(spans.close)
