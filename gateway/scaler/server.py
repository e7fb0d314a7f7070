"""The gRPC port that KEDA asks. grpcio is an extra: it is imported where `autoscale.keda` is configured, not before.

A rotated certificate is shown from the next connection on: gRPC asks for it before each handshake.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import structlog

from engines.files import NotReadable, read_regular
from gateway.http.certificate import BadCertificate, Certificate
from gateway.http.listen import CannotListen
from gateway.scaler import wire
from gateway.scaler.service import NotAsked, NotYet, ScalerService
from gateway.settings.sections.admin import place_of
from gateway.settings.sections.autoscale import KedaSection
from gateway.settings.sections.server import Tls

NEEDS: Final = "autoscale.keda needs the package grpcio: pip install 'penstock[kubernetes]'"
SERVICE: Final = "externalscaler.ExternalScaler"
MOST_BYTES: Final = 64 * 1024
"""Of one question: a trigger's metadata."""
AT_ONCE: Final = 256
"""Calls in progress, streams among them: KEDA holds one for each ScaledObject."""

MOST_FILE_BYTES: Final = 1 << 20
"""Of a certificate with its chain, or a key."""

log = structlog.get_logger()


class ScalerPort:
    """Binds when it is made, and serves from `listen` to `close`."""

    def __init__(self, section: KedaSection, service: ScalerService) -> None:
        """Raises CannotListen, also where grpcio is not installed."""
        # We fork nothing that goes on with gRPC: what we start is another program at once. Left on, each start of an
        # engine or a worker writes a line to stderr.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        try:
            import grpc
        except ImportError:
            raise CannotListen(NEEDS) from None
        self._section = section
        self._grpc: Any = grpc
        options = [
            ("grpc.max_receive_message_length", MOST_BYTES),
            ("grpc.so_reuseport", 0),  # two gateways on one port would each hear half
        ]
        self._server: Any = grpc.aio.server(options=options, maximum_concurrent_rpcs=AT_ONCE)
        self._server.add_generic_rpc_handlers([self._handlers(service)])
        host, port = place_of(section.listen)
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if section.tls is None:
                self.port: int = self._server.add_insecure_port(where)
            else:
                pair = _Pair(section.tls)
                shown = grpc.dynamic_ssl_server_credentials(_shown(grpc, pair.now), lambda: _renewed(grpc, pair))
                self.port = self._server.add_secure_port(where, shown)
        except (RuntimeError, OSError, NotReadable) as error:
            raise CannotListen(f"autoscale.keda.listen: cannot listen on {where}: {error}") from None

    async def listen(self) -> None:
        await self._server.start()
        log.info("scaler_listening", listen=self._section.listen, port=self.port)

    async def close(self) -> None:
        await self._server.stop(None)

    def _handlers(self, service: ScalerService) -> Any:
        grpc = self._grpc

        async def is_active(message: bytes, context: Any) -> bytes:
            return await self._said(context, lambda: service.is_active(wire.read_ref(message)))

        async def metric_spec(message: bytes, context: Any) -> bytes:
            return await self._said(context, lambda: service.metric_spec(wire.read_ref(message)))

        async def metrics(message: bytes, context: Any) -> bytes:
            return await self._said(context, lambda: service.metrics(*wire.read_metrics_request(message)))

        async def stream_is_active(message: bytes, context: Any) -> AsyncIterator[bytes]:
            try:
                async for answer in service.active_changes(wire.read_ref(message)):
                    yield answer
            except (NotAsked, wire.BadMessage) as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        methods = {
            "IsActive": unary(is_active),
            "StreamIsActive": stream(stream_is_active),
            "GetMetricSpec": unary(metric_spec),
            "GetMetrics": unary(metrics),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _said(self, context: Any, answer: Callable[[], bytes]) -> bytes:
        try:
            return answer()
        except (NotAsked, wire.BadMessage) as error:
            await context.abort(self._grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except NotYet as error:
            await context.abort(self._grpc.StatusCode.UNAVAILABLE, str(error))
        raise AssertionError("abort raises")


class _Pair:
    """A key and its certificate, in two files that may be replaced while we serve."""

    def __init__(self, section: Tls) -> None:
        """Raises NotReadable."""
        self._section = section
        self.now = self._read()
        self._refused = ""

    def renewed(self) -> bool:
        """Look whether both are others now. Those that cannot be used, do not fit yet, or are replaced while we look
        change nothing: the next handshake looks again."""
        try:
            read = self._read()
            if read != self.now:
                # Whoever is shown a pair of which gRPC can make nothing is not served until the next one.
                Certificate(self._section.cert, self._section.key, "autoscale.keda.tls")
                if self._read() != read:  # else what was checked is not what was read
                    return False
        except (NotReadable, BadCertificate) as error:
            if str(error) != self._refused:
                self._refused = str(error)
                log.warning("certificates_refused", of="KEDA's port", why=self._refused)
            return False
        if read == self.now:
            return False
        self.now, self._refused = read, ""
        log.info("certificates_renewed", of="KEDA's port")
        return True

    def _read(self) -> tuple[bytes, bytes]:
        return _content(self._section.key), _content(self._section.cert)


def _shown(grpc: Any, pair: tuple[bytes, bytes]) -> Any:
    return grpc.ssl_server_certificate_configuration([pair])


def _renewed(grpc: Any, pair: _Pair) -> Any:
    """What gRPC asks before each handshake, in a thread of its own: another certificate, or None."""
    return _shown(grpc, pair.now) if pair.renewed() else None


def _content(file: str) -> bytes:
    """Raises NotReadable with the file's name: a FIFO there would hold the start for ever."""
    try:
        return read_regular(pathlib.Path(file), MOST_FILE_BYTES)
    except NotReadable as error:
        raise NotReadable(f"{file}: {error}") from None
