"""A head that comes again is heard as the parser reads it, whatever comes and however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import AnswerTruncated
from engines.http1.familiar import AGAIN_AFTER, MAX_UNMET, Familiar
from engines.http1.known_head import MAX_HEAD_BYTES
from engines.http1.secrecy import Secrets
from tests.engines.http1.answers import CORPUS, answers
from tests.engines.http1.bench import Bench
from tests.engines.http1.recorder import Heard
from tests.engines.http1.test_framing import REMAINS, cut

Outcome = tuple[Heard, list[str], bool, int]
SECRETS = Secrets((b"sk-secret-1",))


def answer(body: bytes = b"{}", *, second: int = 40, more: bytes = b"") -> bytes:
    """What vLLM on uvicorn says."""
    head = b"HTTP/1.1 200 OK\r\ndate: Sun, 15 Jun 2025 15:06:%d GMT\r\nserver: uvicorn\r\n%b" % (second, more)
    return b"%bcontent-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (head, len(body), body)


AGAIN = [
    *[answer(b"x" * size) for size in (0, 1, 9, 10, 300, 40_000)],
    answer(b"y" * 9, second=41),
    answer(b"said: sk-secret-1", more=b"x-echo: sk-secret-1\r\n"),
    b"HTTP/1.1 200 OK\r\nContent-Length:  0004 \t\r\n\r\n{}{}",
    b"HTTP/1.1 200 OK\r\nContent-Length:  0004\r\n\r\n{}{}",
    b"HTTP/1.1 200 OK\r\nx-content-length: 2\r\ncontent-length: 2\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nx-empty:\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\n{}",
    b"HTTP/1.1 103 Hints\r\ncontent-length: 2\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
]
wires = st.sampled_from([*AGAIN, *AGAIN[:6], *[shape.wire for shape in CORPUS.values()]]) | answers().map(
    lambda one: one.wire
)


class Origin:
    """Connections to one origin, one after another; without `knows`, each knows nothing of the others' answers, and
    serves once."""

    def __init__(self, *, knows: bool) -> None:
        self.familiar = Familiar() if knows else None
        self.bench = Bench(self.familiar)

    def hear(self, reads: list[bytes], secrets: Secrets | None = None) -> Outcome:
        """What a sink hears of these reads, and whether the connection serves again."""
        if self.familiar is None or not self.bench.reusable:
            self.bench = Bench(self.familiar)
        bench, released = self.bench, self.bench.pool.released
        _, sink = bench.send(secrets=secrets)
        bench.feed(*reads)
        if sink.calls[-1:] not in (["done"], ["failed"]) or bench.transport.aborted:
            bench.end()
        return sink.heard, sink.calls, bench.pool.released > released and bench.reusable, len(bench.loop.reported)


def alike(reads: list[list[bytes]], secrets: Secrets | None = None) -> None:
    knowing, reading = Origin(knows=True), Origin(knows=False)
    for each in reads:
        assert reading.hear(each, secrets) == knowing.hear(each, secrets)


def again(origin: Origin) -> bool:
    """Whether the head of the last answer was met, and not parsed."""
    assert origin.familiar is not None
    known = origin.familiar.known
    return known is not None and known.body_at > 0


secrecy = st.sampled_from([None, None, SECRETS])


@settings(deadline=None)
@given(whole=st.lists(wires, min_size=1, max_size=6), secrets=secrecy, data=st.data())
def test_whatever_comes_is_heard_as_if_nothing_were_known_again(
    whole: list[bytes], secrets: Secrets | None, data: st.DataObject
) -> None:
    places = st.lists(st.integers(0, 400), max_size=3)
    alike([cut(wire, [min(place, len(wire)) for place in data.draw(places)]) for wire in whole], secrets)


@settings(deadline=None)
@given(wire=st.sampled_from(AGAIN), times=st.integers(1, 3), behind=st.binary(max_size=30), data=st.data())
def test_damaged_repetitions_are_heard_as_if_nothing_were_known_again(
    wire: bytes, times: int, behind: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(wire)
    place = data.draw(st.integers(0, min(len(damaged), 200) - 1))
    damaged[place : place + data.draw(st.integers(0, 2))] = behind[:2]
    remains = data.draw(st.sampled_from([b"", behind, *REMAINS, *AGAIN[:3], b"\r\n"]))
    places = data.draw(st.lists(st.integers(0, len(damaged) + len(remains)), max_size=3))
    alike([[wire]] * times + [cut(bytes(damaged) + remains, places)])
    alike([[wire]] * times + [cut(wire + remains, [min(place, len(wire)) for place in places])])


@pytest.mark.parametrize("secrets", [None, SECRETS], ids=["open", "secret"])
@pytest.mark.parametrize("wire", [one for one in AGAIN if len(one) < 1000])
def test_a_repetition_is_heard_the_same_cut_at_any_byte(wire: bytes, secrets: Secrets | None) -> None:
    knowing, reading = Origin(knows=True), Origin(knows=False)
    for place in range(len(wire) + 1):
        for each in ([wire], cut(wire, [place]), [wire[: place or 1]]):
            assert reading.hear(each, secrets) == knowing.hear(each, secrets), place


def test_a_head_with_another_length_is_met_on_any_connection_to_its_origin() -> None:
    origin = Origin(knows=True)
    origin.hear([answer(b"x")])
    assert not again(origin)
    origin.bench = Bench(origin.familiar)
    what, _, keeps, _ = origin.hear([answer(b"y" * 12)])
    assert again(origin)
    assert (what.body, dict(what.headers)[b"content-length"], keeps) == (b"y" * 12, b"12", True)


def test_headers_that_were_told_do_not_change_with_the_next_answer() -> None:
    bench, sinks = Bench(Familiar()), []
    for size in (1, 22, 22, 333):
        _, sink = bench.send()
        bench.feed(answer(b"x" * size))
        sinks.append(sink)
    assert [b"1", b"22", b"22", b"333"] == [dict(sink.headers)[b"content-length"] for sink in sinks]


def test_its_body_may_come_in_several_reads() -> None:
    origin = Origin(knows=True)
    wire = answer(b"0123456789")
    origin.hear([wire])
    what, calls, keeps, _ = origin.hear([wire[:-10], wire[-10:-6], wire[-6:-1], wire[-1:]])
    assert again(origin)
    assert (what.body, what.end, keeps) == (b"0123456789", "done", True)
    assert calls == ["head", "data", "flush", "data", "flush", "data", "done"]


def test_another_date_is_another_head_and_known_from_then_on() -> None:
    origin = Origin(knows=True)
    for second, met in ((40, False), (40, True), (41, False), (41, True)):
        what, *_ = origin.hear([answer(second=second)])
        assert again(origin) is met
        assert dict(what.headers)[b"date"] == b"Sun, 15 Jun 2025 15:06:%d GMT" % second


@pytest.mark.parametrize(
    "wire",
    [
        answer(more=b"connection: close\r\n"),
        answer(more=b"content-encoding: gzip\r\n"),
        answer(more=b"transfer-encoding: chunked\r\n"),
        answer(more=b"content-length: 2\r\n"),
        answer(more=b"x-long: %b\r\n" % (b"x" * MAX_HEAD_BYTES)),
        answer().replace(b"1.1 200", b"1.0 200"),
        answer().replace(b" 200 ", b" 201 "),
        answer().replace(b" 200 ", b" 500 "),
        answer().replace(b"length: 2", b"length: 2 "),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_what_is_special_is_never_known(wire: bytes) -> None:
    origin = Origin(knows=True)
    origin.hear([wire])
    assert origin.familiar is not None
    assert origin.familiar.known is None


def test_a_head_that_comes_in_two_reads_is_not_kept() -> None:
    origin = Origin(knows=True)
    origin.hear([answer()[:30], answer()[30:]])
    assert origin.familiar is not None
    assert origin.familiar.known is None


def test_heads_that_differ_each_time_are_soon_kept_but_rarely() -> None:
    origin = Origin(knows=True)
    assert origin.familiar is not None
    kept: list[object] = []
    for number in range(3 * AGAIN_AFTER):
        origin.hear([answer(more=b"x-request-id: %d\r\n" % number)])
        if not kept or origin.familiar.known is not kept[-1]:
            kept.append(origin.familiar.known)
    assert MAX_UNMET + 3 == len(kept)
    assert None not in kept


def test_one_that_was_met_again_earns_its_origin_more() -> None:
    origin = Origin(knows=True)
    for number in range(2 * MAX_UNMET):
        for met in (False, True):
            origin.hear([answer(more=b"x-task: %d\r\n" % number)])
            assert again(origin) is met


@pytest.mark.parametrize("moment", ["head", "data"])
def test_a_call_that_is_aborted_from_within_hears_no_more(moment: str) -> None:
    origin = Origin(knows=True)
    origin.hear([answer(b"0123")])
    call, sink = origin.bench.send()
    if moment == "head":
        sink.on_head = call.abort
    else:
        sink.on_data = call.abort
    origin.bench.feed(answer(b"0123")[:-2], b"23")
    assert again(origin)
    assert sink.calls == ["head", "data"][: 1 + (moment == "data")]
    assert origin.bench.transport.aborted


@pytest.mark.parametrize("moment", ["head", "data"])
def test_a_sink_that_raises_loses_its_answer_and_the_mistake_is_told(moment: str) -> None:
    def mistake() -> None:
        raise KeyError("a mistake")

    origin = Origin(knows=True)
    origin.hear([answer()])
    _, sink = origin.bench.send()
    if moment == "head":
        sink.on_head = mistake
    else:
        sink.on_data = mistake
    origin.bench.feed(answer())
    assert again(origin)
    assert ["failed"] == sink.calls[-1:]
    assert type(sink.error) is AnswerTruncated or moment == "head"
    assert [KeyError] == [type(error) for error in origin.bench.loop.reported]
