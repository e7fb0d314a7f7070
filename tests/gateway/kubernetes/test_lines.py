"""Lines of an answer, however it is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import BadAnswer, ConnectionLost
from gateway.kubernetes.lines import Lines

pytestmark = pytest.mark.anyio


@given(st.lists(st.sampled_from([b"", b"a", b"bc", b"d" * 40]), max_size=8), st.lists(st.integers(0, 120), max_size=8))
async def test_however_it_is_cut_the_lines_are_the_same(lines: list[bytes], cuts: list[int]) -> None:
    text = b"".join(line + b"\n" for line in lines) + b"rest"
    at = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    sink = Lines(1000)
    sink.head(200, ())
    found: list[bytes] = []
    for begin, end in itertools.pairwise(at):
        sink.data(text[begin:end])
        found += sink.take()
    sink.done()
    assert found == [line + b"\n" for line in lines if line]
    assert (sink.rest, sink.ended, sink.error) == (b"rest", True, None)


async def test_one_without_an_end_is_an_error_and_nothing_is_kept_after_it() -> None:
    sink = Lines(10)
    sink.head(200, ())
    sink.data(b"0123456\n01234567890")
    await sink.news()
    assert isinstance(sink.error, BadAnswer)
    sink.data(b"more\n")
    sink.failed(ConnectionLost("the engine went"))
    assert sink.take() == [b"0123456\n"]
    assert isinstance(sink.error, BadAnswer), "the first reason is the one that is told"


async def test_a_refusal_is_kept_whole() -> None:
    sink = Lines(1000)
    assert (sink.begun, sink.refused) == (False, False)
    sink.head(403, ())
    sink.data(b'{\n"code": 403\n}\n')
    assert (sink.take(), sink.rest, sink.refused) == ([], b'{\n"code": 403\n}\n', True)
