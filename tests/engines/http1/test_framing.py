"""One answer is heard the same however its bytes arrive, and h11 agrees on what it says."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.http1.answers import CORPUS, Answer, answers, by_h11
from tests.engines.http1.bench import Bench
from tests.engines.http1.recorder import Heard

REMAINS = [
    b"junk",
    b"\x00",
    b"HTTP/1.1 2",
    b"0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
]
"""What may follow an answer besides another."""

named = pytest.mark.parametrize("answer", CORPUS.values(), ids=CORPUS.keys())


def heard(*reads: bytes, ends: bool = False, error: Exception | None = None) -> tuple[Heard, bool]:
    """What a sink hears of these reads, and whether the connection serves again."""
    bench = Bench()
    _, sink = bench.send()
    bench.feed(*reads)
    if ends or error or bench.transport.aborted:
        bench.end(error)
    return sink.heard, bench.pool.released == 1 and bench.reusable


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(wire)]
    return [wire[start:stop] for start, stop in itertools.pairwise(edges)]


def bytewise(wire: bytes) -> list[bytes]:
    return [wire[at : at + 1] for at in range(len(wire))]


def lowered(outcome: tuple[Heard, bool]) -> tuple[Heard, bool]:
    """h11 gives the value of transfer-encoding in lower case; we pass it as it came."""
    what, keeps = outcome
    headers = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in what.headers]
    return Heard(what.status, tuple(headers), what.body, what.end), keeps


@named
def test_each_shape_is_heard_as_h11_reads_it(answer: Answer) -> None:
    assert by_h11(answer) == lowered(heard(answer.wire, ends=answer.until_close))


@named
def test_each_shape_is_heard_the_same_split_at_any_byte(answer: Answer) -> None:
    whole = heard(answer.wire, ends=answer.until_close)
    for place in range(len(answer.wire) + 1):
        assert whole == heard(answer.wire[:place], answer.wire[place:], ends=answer.until_close), place
    assert whole == heard(*bytewise(answer.wire), ends=answer.until_close)


@named
def test_each_shape_cut_at_any_byte_fails_once_and_never_claims_to_be_whole(answer: Answer) -> None:
    head_ends = answer.wire.rindex(b"\r\n\r\n") + 4 if answer.until_close else len(answer.wire) + 1
    for place in range(len(answer.wire)):
        part = answer.wire[:place]
        what, keeps = heard(part, ends=True)
        if place >= head_ends:
            assert what.end == "done", place  # where only the close ends a body, it is whole wherever it is closed
        else:
            assert ("AnswerTruncated" if what.body else "ConnectionLost") == what.end, place
        assert not keeps


@named
def test_a_reset_is_never_taken_for_the_end_of_an_answer(answer: Answer) -> None:
    for place in range(len(answer.wire) + answer.until_close):
        what, _ = heard(answer.wire[:place], error=ConnectionResetError())
        assert ("AnswerTruncated" if what.body else "ConnectionLost") == what.end, place


@given(answer=answers())
@settings(deadline=None)
def test_any_answer_is_heard_as_h11_reads_it(answer: Answer) -> None:
    assert by_h11(answer) == heard(answer.wire, ends=answer.until_close)


@given(answer=answers(), data=st.data())
@settings(deadline=None)
def test_any_answer_is_heard_the_same_however_it_is_split(answer: Answer, data: st.DataObject) -> None:
    whole = heard(answer.wire, ends=answer.until_close)
    places = data.draw(st.lists(st.integers(0, len(answer.wire)), max_size=8))
    assert whole == heard(*cut(answer.wire, places), ends=answer.until_close)
    assert whole == heard(*bytewise(answer.wire), ends=answer.until_close)


@given(answer=answers(), data=st.data())
@settings(deadline=None)
def test_any_answer_cut_short_ends_exactly_once(answer: Answer, data: st.DataObject) -> None:
    part = answer.wire[: data.draw(st.integers(0, len(answer.wire) - 1))]
    what, keeps = heard(*cut(part, data.draw(st.lists(st.integers(0, len(part)), max_size=4))), ends=True)
    possible = {"AnswerTruncated", "done"} if answer.until_close else {"AnswerTruncated"}
    assert what.end in (possible if what.body else {"ConnectionLost"} | possible - {"AnswerTruncated"})
    assert not keeps


@given(first=answers(), second=answers(), data=st.data())
@settings(deadline=None)
def test_what_follows_an_answer_never_reaches_a_sink(first: Answer, second: Answer, data: st.DataObject) -> None:
    """Response splitting: the answer stands as it is, and the connection does not serve again."""
    if first.until_close:
        return
    alone, _ = heard(first.wire)
    wire = first.wire + data.draw(st.just(second.wire) | st.sampled_from(REMAINS))
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=3))
    assert (alone, False) == heard(*cut(wire, places))


@given(noise=st.binary(min_size=1, max_size=200), data=st.data())
@settings(deadline=None)
def test_noise_is_refused_or_cut_and_never_raises(noise: bytes, data: st.DataObject) -> None:
    what, keeps = heard(*cut(noise, data.draw(st.lists(st.integers(0, len(noise)), max_size=3))), ends=True)
    assert what.end in {"BadAnswer", "ConnectionLost"}
    assert not keeps


@given(answer=answers(), data=st.data())
@settings(deadline=None)
def test_one_damaged_byte_never_gives_two_endings(answer: Answer, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(answer.wire) - 1))
    wire = bytearray(answer.wire)
    wire[place] = data.draw(st.integers(0, 255))
    what, _ = heard(*cut(bytes(wire), data.draw(st.lists(st.integers(0, len(wire)), max_size=3))), ends=True)
    assert what.end in {"done", "BadAnswer", "ConnectionLost", "AnswerTruncated"}
