"""Where the records of one worker go: the access log, the spans and the store, as the configuration says."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.fleet.specs import provider_of
from gateway.store.contents.gatherer import Gatherer
from gateway.store.sending.gpu_teller import GpuTeller
from gateway.store.sending.gpu_teller import Spent as GpuSpent
from gateway.store.sending.sink import StoreSink
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED
from gateway.telemetry.readable import readable
from gateway.telemetry.sampling import sampling_of
from gateway.telemetry.spans import Spans, otlp_spans
from gateway.telemetry.terminal import is_terminal, takes_colours
from gateway.tracing import Tracing

if TYPE_CHECKING:
    from gateway.accounts.accounting import Accounting
    from gateway.process.supervisor import Supervisor
    from gateway.settings import Settings
    from gateway.settings.sections.telemetry import Telemetry
    from gateway.telemetry.metrics import Metrics


def _access_log(telemetry: Telemetry) -> AccessLog:
    """Lines for people where people read them. Raises OSError."""
    target = telemetry.access_log
    descriptor = {"stdout": 1, "stderr": 2}.get(target)
    if descriptor is None or telemetry.log_format == "json" or not is_terminal(descriptor):
        return AccessLog(target)
    return AccessLog(target, lines=readable(colours=takes_colours(descriptor)))


class Sinks:
    """Opened once, for the life of the process."""

    def __init__(
        self, metrics: Metrics, accounting: Accounting, supervisor: Supervisor, run: str, gpu_spent: GpuSpent
    ) -> None:
        """`run` is what this worker's record ids have in common; `gpu_spent` what own engines have cost."""
        self._metrics = metrics
        self._supervisor = supervisor
        self._run = run
        self._store: StoreSink | None = None
        self._gpu_spent = gpu_spent
        self._gpu: GpuTeller | None = None
        self._contents: Gatherer | None = None
        self._accounting = accounting
        self._access_log: AccessLog | None = None
        self._spans: Spans | None = None
        self._providers: dict[str, str] = {}
        """The provider of each engine, for spans; changed in place by a reload."""

    def open(self, settings: Settings, store: str) -> None:
        """`store` is the socket at which records are taken, if any. Raises ValueError for an access log that cannot be
        written, and for a data directory that cannot."""
        telemetry = settings.telemetry
        if telemetry.access_log != "off":
            try:
                access_log = self._access_log = _access_log(telemetry)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise ValueError(f"telemetry.access_log: {telemetry.access_log} cannot be written: {reason}") from None
            self._metrics.watch_count(RECORDS_DROPPED, ("access_log",), lambda: access_log.dropped)
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
            ratio = otlp.sample_ratio if otlp is not None else 1.0
            self._accounting.tracing = Tracing(sampling_of(ratio, os.environ))
        if store:
            data_dir, supervisor, metrics = Path(settings.data_dir), self._supervisor, self._metrics
            self._store = StoreSink(self._run, store, data_dir, supervisor, metrics)
            self._contents = Gatherer(self._run, store, data_dir, supervisor, metrics)
            self._gpu = GpuTeller(self._run, store, data_dir, supervisor, self._gpu_spent)
        self._accounting.contents = self._contents
        recorder = self._store.recorder if self._store is not None else None
        self._accounting.sinks = tuple(sink for sink in (recorder, self._access_log, self._spans) if sink is not None)

    def use(self, settings: Settings) -> None:
        """Name engines as this configuration does."""
        self._providers.clear()
        self._providers.update({name: provider_of(section) for name, section in settings.engines.items()})

    def reopen(self) -> None:
        """Open log files anew: they were rotated."""
        if self._access_log is not None:
            self._access_log.reopen()

    def flush(self) -> None:
        """Let go of what is held, without waiting."""
        if self._access_log is not None:
            self._access_log.flush()
        if self._spans is not None:
            self._spans.flush()

    async def close(self) -> None:
        """Write out what records are held. Takes a few seconds at most, in a thread: the loop has others to serve."""
        store, self._store = self._store, None
        access_log, self._access_log = self._access_log, None
        spans, self._spans = self._spans, None
        contents, self._contents = self._contents, None
        gpu, self._gpu = self._gpu, None
        self._accounting.sinks = ()
        self._accounting.contents = None
        self._accounting.tracing = None
        if access_log is not None:
            await asyncio.to_thread(access_log.close)
        if spans is not None:
            await asyncio.to_thread(spans.close)
        await asyncio.gather(*(sink.close() for sink in (store, contents, gpu) if sink is not None))
