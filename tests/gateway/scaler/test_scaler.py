"""KEDA's questions by a client of grpcio, over a real port."""

from __future__ import annotations

import asyncio
import builtins
import math
import os
import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
import trustme

from gateway.http.certificate import Certificate
from gateway.http.listen import CannotListen
from gateway.scaler.server import SERVICE, ScalerPort, _Pair
from gateway.scaler.service import METRIC, ScalerService
from gateway.settings.sections.autoscale import KedaSection
from gateway.settings.sections.server import Tls
from gateway.telemetry.metrics.families import BY_NAME
from tests.gateway.scaler.messages import MESSAGES, ref

grpc: Any = pytest.importorskip("grpc")
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="module", autouse=True)
async def _one_loop(anyio_backend: Any) -> AsyncIterator[None]:
    """All tests here have one event loop: what grpcio says late would find that of its test closed."""
    yield  # noqa: PT022 - a fixture that has not ended keeps its loop


class Decided:
    """Satisfies `gateway.scaler.service.Advises`."""

    def __init__(self, **wanted: int | None) -> None:
        self.by_engine = wanted
        self.service = ScalerService(self)

    @property
    def engines(self) -> list[str]:
        return list(self.by_engine)

    def wanted(self, engine: str) -> int | None:
        return self.by_engine[engine]

    def decide(self, engine: str, wanted: int) -> None:
        self.by_engine[engine] = wanted
        self.service.changed(engine)


class Keda:
    """Asks as KEDA does."""

    def __init__(self, channel: Any, where: str = "") -> None:
        self.channel = channel
        self.where = where

    async def ask(self, method: str, question: Any, answer: str) -> Any:
        call = self.channel.unary_unary(f"/{SERVICE}/{method}")
        return MESSAGES[answer].FromString(await call(question.SerializeToString(), timeout=10))

    async def active(self, engine: str) -> bool:
        result: bool = (await self.ask("IsActive", ref(engine=engine), "IsActiveResponse")).result
        return result

    async def desired(self, engine: str) -> int:
        """What KEDA's HPA computes by the average value."""
        (spec,) = (await self.ask("GetMetricSpec", ref(engine=engine), "GetMetricSpecResponse")).metricSpecs
        question = MESSAGES["GetMetricsRequest"](scaledObjectRef=ref(engine=engine), metricName=spec.metricName)
        (value,) = (await self.ask("GetMetrics", question, "GetMetricsResponse")).metricValues
        target = spec.targetSizeFloat if spec.targetSizeFloat > 0 else spec.targetSize
        told = value.metricValueFloat if value.metricValueFloat > 0 else value.metricValue
        desired: int = math.ceil(told / target)
        return desired

    def stream(self, engine: str) -> Any:
        call = self.channel.unary_stream(f"/{SERVICE}/StreamIsActive")
        return call(ref(engine=engine).SerializeToString(), timeout=30)


async def next_of(stream: Any) -> bool:
    result: bool = MESSAGES["IsActiveResponse"].FromString(await stream.read()).result
    return result


@asynccontextmanager
async def asked(decided: Decided, tls: dict[str, str] | None = None, trust: bytes = b"") -> AsyncIterator[Keda]:
    section = KedaSection.model_validate({"listen": "127.0.0.1:0", "tls": tls})
    with structlog.testing.capture_logs():
        port = ScalerPort(section, decided.service)
        await port.listen()
        where = f"localhost:{port.port}"
        channel = (
            grpc.aio.secure_channel(where, grpc.ssl_channel_credentials(trust))
            if tls
            else grpc.aio.insecure_channel(where)
        )
        async with channel:
            yield Keda(channel, where)
        await port.close()


async def test_what_keda_computes_is_the_algorithm_s_number_exactly() -> None:
    decided = Decided(llama=0, qwen=3)
    async with asked(decided) as keda:
        for wanted in (0, 1, 7, 19, 1024):
            decided.decide("llama", wanted)
            assert await keda.desired("llama") == wanted
            assert await keda.active("llama") is (wanted > 0)
        assert await keda.desired("qwen") == 3


def test_the_metric_that_is_told_is_one_that_the_gateway_has() -> None:
    assert METRIC in BY_NAME


async def test_a_stream_says_how_it_is_and_then_what_changes() -> None:
    decided = Decided(llama=0, qwen=1)
    async with asked(decided) as keda:
        stream, other = keda.stream("llama"), keda.stream("qwen")
        assert [await next_of(stream), await next_of(other)] == [False, True]
        decided.decide("llama", 1)
        assert await next_of(stream) is True
        decided.decide("llama", 2)  # as active as before: nothing is said
        decided.decide("llama", 0)
        assert await next_of(stream) is False
        stream.cancel()
        other.cancel()
        await until(lambda: not decided.service._streams)


async def test_before_the_first_decision_nothing_is_answered_that_could_scale_to_zero() -> None:
    decided = Decided(llama=None)
    async with asked(decided) as keda:
        for method in ("IsActive", "GetMetrics"):
            question = ref(engine="llama")
            if method == "GetMetrics":
                question = MESSAGES["GetMetricsRequest"](scaledObjectRef=question, metricName=METRIC)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await keda.ask(method, question, "IsActiveResponse")
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert failed.value.details() == "nothing has been decided for llama yet"
        stream = keda.stream("llama")
        first = asyncio.ensure_future(next_of(stream))
        await until(lambda: bool(decided.service._streams))
        decided.decide("llama", 1)
        assert await first is True
        stream.cancel()


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (ref(), "the trigger's metadata has no `engine`; there is: llama, qwen"),
        (ref(engine="lama"), "no engine 'lama' is scaled so; there is: llama, qwen"),
    ],
)
async def test_a_trigger_that_names_no_engine_is_told_which_there_are(question: Any, said: str) -> None:
    async with asked(Decided(qwen=1, llama=1)) as keda:
        for method in ("IsActive", "GetMetricSpec"):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await keda.ask(method, question, "IsActiveResponse")
            assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, said)
        stream = keda.channel.unary_stream(f"/{SERVICE}/StreamIsActive")(question.SerializeToString(), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError, match="there is: llama, qwen"):
            await stream.read()


async def test_another_metric_and_bytes_that_are_no_message_are_refused() -> None:
    async with asked(Decided(llama=1)) as keda:
        question = MESSAGES["GetMetricsRequest"](scaledObjectRef=ref(engine="llama"), metricName="queue")
        with pytest.raises(
            grpc.aio.AioRpcError, match="there is no metric 'queue': it is called penstock_replicas_wanted"
        ):
            await keda.ask("GetMetrics", question, "GetMetricsResponse")
        with pytest.raises(grpc.aio.AioRpcError, match="a field is cut short"):
            await keda.channel.unary_unary(f"/{SERVICE}/IsActive")(b"\x0a\x05abc", timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as failed:  # which KEDA takes to mean that there is none
            await keda.channel.unary_unary(f"/{SERVICE}/StreamMetricSpec")(b"", timeout=10)
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_it_is_asked_over_tls_where_there_is_a_certificate(tmp_path: pathlib.Path) -> None:
    authority = trustme.CA()
    async with asked(Decided(llama=2), issue(authority, tmp_path), authority.cert_pem.bytes()) as keda:
        assert await keda.desired("llama") == 2


def issue(authority: trustme.CA, directory: pathlib.Path) -> dict[str, str]:
    """A certificate of this authority, and its key, in two files."""
    leaf = authority.issue_cert("localhost")
    cert, key = directory / "tls.crt", directory / "tls.key"
    cert.write_bytes(leaf.cert_chain_pems[0].bytes())
    key.write_bytes(leaf.private_key_pem.bytes())
    return {"cert": str(cert), "key": str(key)}


async def test_a_rotated_certificate_is_shown_to_whoever_comes_next(tmp_path: pathlib.Path) -> None:
    before, after = trustme.CA(), trustme.CA()
    tls = issue(before, tmp_path)
    async with asked(Decided(llama=2), tls, before.cert_pem.bytes()) as keda:
        assert await keda.desired("llama") == 2
        where = keda.where
        (tmp_path / "tls.key").write_bytes(issue_key(after))
        async with trusting(where, before) as other:  # a rotation under way: the key is there before its certificate
            assert await other.desired("llama") == 2
        issue(after, tmp_path)
        async with trusting(where, after) as other:
            assert await other.desired("llama") == 2
        (tmp_path / "tls.crt").unlink()
        async with trusting(where, after) as other:
            assert await other.desired("llama") == 2
        assert await keda.desired("llama") == 2, "a connection that is there goes on"


def test_a_pair_that_is_replaced_while_it_is_checked_is_not_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    issue(authority, tmp_path)
    pair = _Pair(Tls.model_validate(issue(authority, tmp_path)))
    before = pair.now
    (tmp_path / "tls.crt").write_bytes(authority.issue_cert("localhost").cert_chain_pems[0].bytes())

    def check(*of: Any) -> Certificate:
        """The rest of the rotation arrives after the mixed pair was read."""
        issue(authority, tmp_path)
        return Certificate(*of)

    with monkeypatch.context() as patched:
        patched.setattr("gateway.scaler.server.Certificate", check)
        assert not pair.renewed()
    assert pair.now == before
    assert pair.renewed()
    assert pair.now == ((tmp_path / "tls.key").read_bytes(), (tmp_path / "tls.crt").read_bytes())


def issue_key(authority: trustme.CA) -> bytes:
    pem: bytes = authority.issue_cert("localhost").private_key_pem.bytes()
    return pem


@asynccontextmanager
async def trusting(where: str, authority: trustme.CA) -> AsyncIterator[Keda]:
    """A connection of its own."""
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    alone = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(where, credentials, options=alone) as channel:
        yield Keda(channel, where)


async def test_a_key_that_is_a_fifo_ends_the_start_with_a_sentence(tmp_path: pathlib.Path) -> None:
    key = tmp_path / "tls.key"
    os.mkfifo(key)
    section = KedaSection.model_validate({"listen": "127.0.0.1:0", "tls": {"cert": "tls.crt", "key": str(key)}})
    with pytest.raises(CannotListen, match=rf"cannot listen on 127\.0\.0\.1:0: {key}: it is not a regular file"):
        ScalerPort(section, Decided().service)


async def test_an_address_that_is_taken_and_a_package_that_is_missing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    section = KedaSection(listen="127.0.0.1:0")
    with structlog.testing.capture_logs():
        port = ScalerPort(section, Decided().service)
        await port.listen()
        taken = KedaSection(listen=f"127.0.0.1:{port.port}")
        with pytest.raises(CannotListen, match=r"autoscale\.keda\.listen: cannot listen on 127\.0\.0\.1"):
            ScalerPort(taken, Decided().service)
        await port.close()
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "grpc":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CannotListen, match=r"needs the package grpcio: pip install 'penstock\[kubernetes\]'"):
        ScalerPort(section, Decided().service)


async def until(what: Any) -> None:
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0)
