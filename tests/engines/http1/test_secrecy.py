"""An engine's key never reaches a sink, in whatever header or piece of a body the engine repeats it."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.http1.call import Call
from engines.http1.secrecy import Secrets
from engines.http_engine import HttpEngine, HttpSettings
from engines.model import Operation
from engines.pools import Pools
from engines.port import Outgoing, Replica
from engines.providers.sigv4 import Signing
from tests.engines.http1.bench import BODY, HEAD, PATIENT, Bench
from tests.engines.http1.recorder import Recorder
from tests.engines.http1.upstream import ended, upstream

KEY = b"sk-0123456789"
SECRETS = Secrets([KEY, b"org/12345", b"eu"])


def heard(*reads: bytes, ends: bool = False) -> tuple[Bench, Recorder]:
    bench = Bench()
    sink = Recorder()
    bench.connection.send(Call(HEAD, BODY, PATIENT, sink, bench.loop.now, SECRETS))
    bench.loop.end_turn()
    bench.feed(*reads)
    if ends:
        bench.end()
    return bench, sink


def test_it_is_hidden_in_headers_and_bodies_of_any_status() -> None:
    for status in (200, 401, 500):
        body = b'{"error":"Incorrect API key provided: %b, org\\/12345"}' % KEY
        _, sink = heard(
            b"HTTP/1.1 %d X\r\nx-seen: Bearer %b;\r\ncontent-length: %d\r\n\r\n" % (status, KEY, len(body)) + body
        )
        assert sink.body == b'{"error":"Incorrect API key provided: ***, ***"}'
        assert dict(sink.headers)[b"x-seen"] == b"Bearer ***;"
        assert sink.heard.end == "done"


FRAMINGS = {"counted": False, "until close": True}


@pytest.mark.parametrize("until_close", FRAMINGS.values(), ids=FRAMINGS.keys())
@given(
    parts=st.lists(
        st.sampled_from([KEY, KEY[:5], KEY[:-1], b"org/12345", b"org/1", b"s", b"eu", b"text\n\n"]), max_size=9
    ),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
@settings(deadline=None)
def test_it_is_hidden_wherever_the_reads_split_it(until_close: bool, parts: list[bytes], cuts: list[int]) -> None:
    body = b"".join(parts)
    head = b"HTTP/1.1 200 OK\r\n\r\n" if until_close else b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    wire = head + body
    places = sorted(min(cut, len(wire)) for cut in cuts)
    reads = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    _, sink = heard(*reads, ends=until_close)
    assert (sink.body, sink.heard.end) == (SECRETS.hide(body), "done")
    assert KEY not in sink.body


def test_it_is_hidden_in_a_compressed_answer() -> None:
    body = gzip.compress(b"key " + KEY)
    _, sink = heard(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    assert (sink.body, sink.heard.end) == (b"key ***", "done")


def test_whole_events_are_not_held_back() -> None:
    bench, sink = heard(b"HTTP/1.1 200 OK\r\n\r\n", b"data: sk-0123\n\n")
    assert (sink.body, sink.calls[-1]) == (b"data: sk-0123\n\n", "flush")
    bench.feed(b"data: sk-")
    assert (sink.body, sink.calls[-1]) == (b"data: sk-0123\n\ndata: ", "flush")
    bench.feed(b"is\n\n")
    assert sink.body == b"data: sk-0123\n\ndata: sk-is\n\n"


@pytest.mark.parametrize(
    "told", [b"k+e/y<&'0==", b"k+e\\/y<&'0==", b"k+e/y\\u003c\\u0026'0==", b"k\\u002Be/y\\u003C\\u0026\\u00270=="]
)
def test_it_is_hidden_as_common_writers_of_json_escape_it(told: bytes) -> None:
    """As it is, PHP's, Go's and .NET's."""
    assert Secrets([b"k+e/y<&'0=="]).hide(b'{"key":"%b"}' % told) == b'{"key":"***"}'


def test_short_words_are_no_secrets() -> None:
    assert Secrets([b"eu", b"1234567"]).words == ()
    assert Secrets([b"12345678"]).words == (b"12345678",)


def test_what_signs_is_hidden_and_in_no_repr() -> None:
    signing = Signing("AKIAOFTHEENGINE", "a-secret-access-key", "a-session-token", "us-east-1", "bedrock")
    assert signing.secrets == ("AKIAOFTHEENGINE", "a-session-token")
    assert [word for word in ("AKIA", "a-secret", "a-session") if word in repr(signing)] == []


@pytest.mark.anyio
async def test_an_engine_hides_what_it_signs_with() -> None:
    pytest.importorskip("botocore")
    signing = Signing("AKIAOFTHEENGINE", "a-secret-access-key", None, "us-east-1", "bedrock")
    async with upstream() as up:
        settings = HttpSettings("bedrock", frozenset(Operation), signing=signing)
        engine = HttpEngine("one", settings, Pools(up.spawn))
        assert engine.secrets == (b"AKIAOFTHEENGINE",)
        await engine.close()


@pytest.mark.anyio
async def test_an_engine_hides_its_own_key() -> None:
    async with upstream() as up:
        url = f"http://{up.origin.authority}"
        settings = HttpSettings("openai", frozenset(Operation), api_keys=(KEY.decode(),))
        engine = HttpEngine("one", settings, Pools(up.spawn), [Replica("a", url)])
        sink = Recorder()
        engine.send("a", Outgoing(Operation.CHAT.value, b"", b"{}"), PATIENT, sink)
        peer = await up.peer()
        await peer.request(10)
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\nx-key: %b\r\n\r\nyours: %b" % (KEY, KEY))
        await ended(sink)
        assert (sink.body, dict(sink.headers)[b"x-key"]) == (b"yours: ***", b"***")
        await engine.close()
