r"""Half a surrogate pair, `"\ud83d"`, hides nothing else of the document that it is in."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation, Usage
from engines.wire import DIALECTS, lone_surrogates
from engines.wire.lone_surrogates import hidden, reading, replaced, shown

halves = st.text(st.sampled_from('\ud83d\ude00\udbff\udc00\\u"dn8é'), max_size=12)


@settings(deadline=None)
@given(text=halves)
def test_a_document_is_read_with_a_replacement_for_each_half_and_for_nothing_else(text: str) -> None:
    document = json.dumps([text]).encode()
    expected = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in json.loads(document)[0])
    assert reading(msgspec.json.decode, document) == [expected]


@settings(deadline=None)
@given(text=halves)
def test_what_is_hidden_is_read_by_any_decoder_and_shown_as_it_came(text: str) -> None:
    document = json.dumps([text]).encode()
    copy = hidden(document)
    if copy is None:
        assert msgspec.json.decode(document) == [text.encode("utf-16", "surrogatepass").decode("utf-16")]
    else:
        msgspec.json.decode(copy)
        assert (len(document), document) == (len(copy), shown(copy))


@pytest.mark.parametrize(
    "document",
    [
        rb'["\\ud83d"]',
        rb'["\ud83d\ude00"]',
        rb'["\uD83D\uDE00"]',
        rb'["\ud83"]',
        rb'["ud83d"]',
        b"[" + b'"\\ud83d",' * lone_surrogates.MOST + b'"\\ud83d"]',
        b'["\\ud83d' + b"x" * lone_surrogates.LARGEST_BYTES + b'"]',
        b'["' + b"\\\\" * lone_surrogates.RUN_BYTES + b'\\ud83d"]',
    ],
    ids=["text", "pair", "capitals", "short", "no escape", "too many", "too large", "long run"],
)
def test_what_has_no_half_or_leaves_it_in_doubt_is_left_alone(document: bytes) -> None:
    assert (None, None) == (replaced(document), hidden(document))


def test_a_text_that_looks_hidden_already_is_not_hidden() -> None:
    assert hidden(b'["\\\\\x7f83d\\ud83d"]') is None


def test_what_is_malformed_besides_is_refused_as_it_was() -> None:
    with pytest.raises(msgspec.DecodeError, match="byte 10"):
        reading(msgspec.json.decode, b'["\\ud83d",]')


ANSWERS = [
    (
        Operation.CHAT,
        b'{"choices":[{"message":{"content":"\\ud83d"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2}}',
        Usage(3, 2),
    ),
    (Operation.EMBEDDINGS, b'{"model":"\\ud83d","usage":{"prompt_tokens":3}}', Usage(3, 0)),
    (
        Operation.RESPONSES,
        b'{"status":"completed","output":["\\ud83d"],"usage":{"input_tokens":3,"output_tokens":2}}',
        Usage(3, 2),
    ),
    (
        Operation.MESSAGES,
        b'{"content":["\\ud83d"],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}',
        Usage(3, 2),
    ),
]


@pytest.mark.parametrize(("operation", "body", "usage"), ANSWERS, ids=[str(answer[0]) for answer in ANSWERS])
def test_the_usage_of_an_answer_is_read_beside_it(operation: Operation, body: bytes, usage: Usage) -> None:
    assert usage == DIALECTS[operation].read_answer(body).usage


def test_the_finish_of_a_stream_is_read_beside_it() -> None:
    reader = DIALECTS[Operation.CHAT].reader()
    reader.read(b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"},"finish_reason":"length"}]}\n\n')
    assert reader.finished


def test_a_chunk_of_nothing_but_half_a_pair_says_nothing() -> None:
    assert not DIALECTS[Operation.CHAT].reader().read(b'data: {"choices":[],"x":"\\ud83d"}\n\n').error


def test_an_error_is_told_beside_it() -> None:
    assert "cut \ufffd" == DIALECTS[Operation.CHAT].read_error(400, b'{"error":{"message":"cut \\ud83d"}}').message
