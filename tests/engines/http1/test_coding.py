"""A compressed answer that nobody asked for is unpacked as it comes, whatever the pieces, and no bomb goes off."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.http1.answer import LIMITS
from engines.http1.coding import FREE_BYTES, MAX_RATIO, PIECE_BYTES, Decoder, Unpackable
from tests.engines.http1.bench import Bench
from tests.engines.http1.recorder import Recorder

TEXT = b'data: {"choices":[{"delta":{"content":"hello"}}]}\n\n' * 40


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"X-GZip", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "deflate without its header": (b"deflate", raw),
    "gzip in two members": (b"gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
}
named = pytest.mark.parametrize(("coding", "pack"), PACKED.values(), ids=PACKED.keys())


def answer(coding: bytes, body: bytes, *, framing: bytes = b"", status: int = 200) -> bytes:
    framing = framing or b"content-length: %d\r\n" % len(body)
    return b"HTTP/1.1 %d OK\r\nx-a: 1\r\ncontent-encoding: %b\r\n%b\r\n" % (status, coding, framing) + body


def heard(*reads: bytes) -> tuple[Bench, Recorder]:
    bench = Bench()
    _, sink = bench.send()
    bench.feed(*reads)
    return bench, sink


@named
def test_it_is_unpacked_and_its_header_and_length_are_gone(coding: bytes, pack) -> None:  # type: ignore[no-untyped-def]
    bench, sink = heard(answer(coding, pack(TEXT)))
    assert (sink.body, sink.headers, sink.heard.end) == (TEXT, [(b"x-a", b"1")], "done")
    assert bench.reusable


@named
@given(data=st.binary(max_size=3000), cut=st.data())
@settings(deadline=None, max_examples=40)
def test_any_body_is_unpacked_however_it_is_split(coding: bytes, pack, data: bytes, cut: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    wire = answer(coding, pack(data))
    places = sorted(cut.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    reads = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    _, sink = heard(*reads)
    assert (sink.body, sink.heard.end) == (data, "done")


def test_events_leave_as_they_come_not_when_the_block_is_full() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    bench, sink = heard(answer(b"gzip", b"", framing=b"transfer-encoding: chunked\r\n"))
    bench.feed(b"%x\r\n%b\r\n" % (len(first), first))
    assert (sink.body, sink.calls) == (b"data: 1\n\n", ["head", "data", "flush"])
    last = packer.flush()
    bench.feed(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))
    assert (sink.heard.end, bench.reusable) == ("done", True)


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"identity"])
def test_a_coding_we_cannot_undo_passes_as_it_is_with_its_header(coding: bytes) -> None:
    _, sink = heard(answer(coding, b"whatever"))
    assert (sink.body, dict(sink.headers)[b"content-encoding"]) == (b"whatever", coding)


def test_an_empty_body_needs_no_coding() -> None:
    for status in (200, 204, 304):
        bench, sink = heard(answer(b"gzip", b"", status=status))
        assert (sink.heard.end, sink.body, bench.reusable) == ("done", b"", True)


def test_a_body_that_is_not_what_it_says_is_a_bad_answer() -> None:
    _, sink = heard(answer(b"gzip", b"plain text, in truth"))
    assert (sink.heard.end, str(sink.error)) == ("BadAnswer", "the engine's answer is not compressed as it says")


@pytest.mark.parametrize("framing", [b"", b"\r\n"], ids=["counted", "until close"])
def test_a_compressed_body_cut_short_is_not_whole_though_its_framing_is(framing: bytes) -> None:
    packed = gzip.compress(TEXT)[:-5]
    wire = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + packed if framing else answer(b"gzip", packed)
    bench, sink = heard(wire)
    bench.end()
    assert (sink.heard.end, str(sink.error)) == ("AnswerTruncated", "the engine's answer is compressed and cut short")


def test_a_body_that_ends_with_the_connection_is_unpacked_to_its_end() -> None:
    bench, sink = heard(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(TEXT))
    bench.end()
    assert (sink.heard.end, sink.body) == ("done", TEXT)


def test_a_reset_is_not_the_end_of_a_compressed_body_either() -> None:
    bench, sink = heard(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(TEXT))
    bench.end(ConnectionResetError())
    assert (sink.heard.end, sink.body) == ("AnswerTruncated", TEXT)


def test_a_bomb_is_cut_and_told() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    bench, sink = heard(*[answer(b"gzip", bomb)[at : at + 65536] for at in range(0, len(bomb) + 100, 65536)])
    assert (sink.heard.end, str(sink.error)) == (
        "AnswerTruncated",
        "the engine's answer unpacks to over 100 times its size",
    )
    assert len(sink.body) <= max(FREE_BYTES, MAX_RATIO * 65536) + PIECE_BYTES
    assert bench.transport.aborted


def test_an_error_unpacks_to_no_more_than_an_error_may_be() -> None:
    _, sink = heard(answer(b"gzip", gzip.compress(b'{"error":{"message":"slow down"}}'), status=429))
    assert (sink.status, sink.body, sink.heard.end) == (429, b'{"error":{"message":"slow down"}}', "done")
    _, sink = heard(answer(b"gzip", gzip.compress(bytes(LIMITS.error_bytes + 1)), status=500))
    assert (sink.heard.end, str(sink.error)) == (
        "AnswerTruncated",
        "the engine's answer unpacks to over 1048576 bytes",
    )


def test_what_a_paused_call_was_not_given_is_unpacked_when_it_reads_on() -> None:
    data = bytes(range(256)) * 4096
    bench = Bench()
    call, sink = bench.send()
    sink.on_data = call.pause
    bench.feed(answer(b"gzip", gzip.compress(data)))
    steps = 0
    while not sink.ended.is_set():
        assert len(sink.body) <= (steps + 1) * PIECE_BYTES
        assert not bench.transport.reading
        call.resume()
        bench.loop.end_turn()
        steps += 1
    assert (sink.heard.end, sink.body == data, steps) == ("done", True, len(data) // PIECE_BYTES - 1)
    assert (bench.transport.reading, bench.pool.released) == (True, 1)


def test_a_decoder_refuses_what_grows_without_end() -> None:
    decoder = Decoder(b"deflate")
    decoder.push(zlib.compress(bytes(10 * FREE_BYTES)))
    with pytest.raises(Unpackable, match="100 times"):
        list(iter(decoder.take, b""))
