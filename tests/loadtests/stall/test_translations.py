"""What is asked and answered in another format is what its row says, and no larger than a request may be."""

from __future__ import annotations

import json

import pytest

from engines.wire.bulk import MAX_ANSWER_VALUES, MAX_ELEMENTS, MAX_EVENT_VALUES, finished, over
from engines.wire.request import Unreadable
from engines.wire.translation import INGRESS_BY_PATH
from engines.wire.unary.forms import READERS
from gateway.relay.translated import MAX_BYTES
from loadtests.stall import bodies, provider, translations


@pytest.mark.parametrize(
    "row", [row for row in translations.rows() if "1 MiB" in row[0] and row[0].startswith(("transl", "count"))]
)
def test_what_is_refused_is_what_is_more_than_is_translated(row: translations.Row) -> None:
    _, _, path, make, status = row
    body = make()
    assert len(body) <= bodies.MIB
    if status == 400:
        with pytest.raises(Unreadable):
            _read(path, body)
    else:
        _read(path, body)


def _read(path: str, body: bytes) -> None:
    if path in INGRESS_BY_PATH:
        INGRESS_BY_PATH[path].decode_request(body)
    else:
        finished(READERS[path if path in READERS else "/v1/rerank"](body))


def test_the_history_is_all_that_is_translated() -> None:
    request = INGRESS_BY_PATH["/v1/chat/completions"].decode_request(bodies.history(bodies.MIB))
    assert sum(1 + len(turn.parts) for turn in request.turns) == MAX_ELEMENTS


@pytest.mark.parametrize("name", provider.ANSWERS)
def test_an_answer_is_json_and_within_its_bounds_or_not_as_its_name_says(name: str) -> None:
    told = provider.answer(f"/models/{name}:generateContent")
    assert told is not None
    read = json.loads(told[1])
    if "candidates" in read:
        assert len(told[1]) <= MAX_BYTES
        assert finished(over(told[1], MAX_EVENT_VALUES)) == (name == "crowd")
        assert finished(over(told[1], MAX_ANSWER_VALUES)) == (name == "crowd")


def test_a_stream_is_its_answer_in_one_event_and_nobody_else_is_answered() -> None:
    plain = provider.answer("/models/small:generateContent")
    streamed = provider.answer("/models/small:streamGenerateContent?alt=sse")
    assert plain is not None
    assert streamed == (provider.EVENTS, b"data: " + plain[1] + b"\n\n")
    assert provider.answer("/v1/chat/completions") is None
    assert provider.answer("/models/small:countTokens") == (provider.DOCUMENT, b'{"totalTokens":1}')
    ranked = provider.answer(provider.RANKED)
    assert ranked is not None
    assert len(json.loads(ranked[1])["results"]) == provider.DOCUMENTS
