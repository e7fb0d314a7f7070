"""Errors of which only the beginning is here: known by it, or taken for an answer."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.wire import DIALECTS
from engines.wire.dialect import Finding
from engines.wire.refusals import ERROR_WITHIN_BYTES, begins_an_error, is_truthy, stray_error

LONG = "x" * 2000
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"message": LONG}},
        {"error": LONG},
        {"error": [LONG]},
        {"type": "error", "error": {"type": "overloaded_error", "message": LONG}},
        {"id": "a{[\"'\\", "created": 1.5e3, "ok": False, "error": {"message": LONG}},
        {"error": None, "object": "error", "message": LONG},
        [{"error": {"code": 503, "message": LONG}}],
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_error_is_known_by_its_beginning(document: object, indent: int | None) -> None:
    text = json.dumps(document, indent=indent).encode()
    assert begins_an_error(text[:ERROR_WITHIN_BYTES])
    assert isinstance(stray_error(text), Finding)


@pytest.mark.parametrize(
    "document",
    [
        {"error": None, "choices": [LONG]},
        {"error": {}, "choices": [LONG]},
        {"error": "", "choices": [LONG]},
        {"error": [], "choices": [LONG]},
        {"error": False, "error_count": 3, "errors": [LONG]},
        {"output": [{"error": {"message": LONG}}]},
        {"content": 'quotes: "error": {"a', "output": LONG},
        {"data": [[0.1] * 500]},
        [LONG],
        LONG,
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_answer_is_not_taken_for_an_error(document: object, indent: int | None) -> None:
    assert not begins_an_error(json.dumps(document, indent=indent).encode()[:ERROR_WITHIN_BYTES])


@pytest.mark.parametrize("said", [b"null", b"false", b"{}", b"{ }", b"[]", b"[\n]", b'""', b"0"])
def test_an_error_that_says_nothing_is_none(said: bytes) -> None:
    assert not is_truthy(msgspec.Raw(said))
    answer = b'{"id":"x","status":"completed","error":%b,"choices":[{"finish_reason":"stop"}],"usage":{}}' % said
    for dialect in DIALECTS.values():
        assert not dialect.read_answer(answer).error


@pytest.mark.parametrize("said", [b"true", b"1", b'"no"', b'{"a":0}', b"[0]"])
def test_an_error_that_says_something_is_one(said: bytes) -> None:
    assert is_truthy(msgspec.Raw(said))


@settings(deadline=None)
@given(
    before=st.dictionaries(st.text(max_size=5).filter(lambda key: key not in ("error", "object")), scalars, max_size=5),
    error=scalars | st.dictionaries(st.just("message"), scalars, max_size=1),
    indent=st.sampled_from([None, 0, 3]),
)
def test_what_it_says_of_any_flat_beginning_is_what_the_whole_says(
    before: dict[str, object], error: object, indent: int | None
) -> None:
    text = json.dumps(before | {"error": error, "rest": LONG}, indent=indent).encode()
    known = begins_an_error(text[:-1800])
    assert known == (bool(error) and not isinstance(error, (bool, int)))


@settings(deadline=None)
@given(st.binary(max_size=ERROR_WITHIN_BYTES))
def test_any_bytes_are_judged(beginning: bytes) -> None:
    assert begins_an_error(beginning) in (False, True)
