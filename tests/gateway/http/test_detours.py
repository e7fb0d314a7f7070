"""Paths that are asked by mistake: served where they can mean one thing only, else refused with the right base URL."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from gateway.body.envelope import MOST_MEMBERS
from gateway.errors import Failure
from gateway.http.detours import Detour, detour, like, right_base_url
from gateway.workers.detouring import naming

CHAT = b"/v1/chat/completions"
NAMES = st.sampled_from(["model", "n", "tools", "\u00e9"])
VALUES = st.none() | st.integers(0, 9) | st.text(max_size=3) | st.dictionaries(NAMES, st.text(max_size=3), max_size=2)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (b"/v1/chat/completions/", Detour(Operation.CHAT, CHAT)),
        (b"//v1//chat/completions", Detour(Operation.CHAT, CHAT)),
        (b"/openai/v1/chat/completions", Detour(Operation.CHAT, CHAT)),
        (b"/openai/deployments/gpt%204/chat/completions", Detour(Operation.CHAT, CHAT, "gpt 4")),
        (b"/openai/deployments/e/embeddings", Detour(Operation.EMBEDDINGS, b"/v1/embeddings", "e")),
        (b"/v1/responses/r1/cancel/", Detour(Operation.RESPONSE_CANCEL, b"/v1/responses/r1/cancel")),
        (b"/openai/deployments//chat/completions", None),
        (b"/openai/deployments/a/b/chat/completions", None),
        (b"/v2/rerank", Detour(Operation.RERANK, b"/v1/rerank")),
        (b"/rerank/", Detour(Operation.RERANK, b"/v1/rerank")),
        (b"/score", Detour(Operation.SCORE, b"/v1/score")),
        (b"/v1/pooling", Detour(Operation.POOLING, b"/pooling")),
        (b"/v1/classify", Detour(Operation.CLASSIFY, b"/classify")),
        (b"/openai/responses", Detour(Operation.RESPONSES, b"/v1/responses")),
        (b"/openai/responses/r1", Detour(Operation.RESPONSE, b"/v1/responses/r1")),
        (b"/openai/v1/responses/r1/cancel", Detour(Operation.RESPONSE_CANCEL, b"/v1/responses/r1/cancel")),
        (b"/openai/chat/completions", None),
        (b"/chat/completions", None),
        (b"/", None),
        (b"/v1/models/", None),
    ],
)
def test_a_path_that_can_mean_one_thing_means_it(path: bytes, wanted: Detour | None) -> None:
    assert detour(path) == wanted


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1", "this is the base URL for OpenAI's clients (http://h:1/v1); clients of Anthropic's take http://h:1"),
        ("/v1/", "this is the base URL for OpenAI's clients (http://h:1/v1); clients of Anthropic's take http://h:1"),
        ("/v1/v1/chat/completions", "the base URL has /v1 twice: it should be http://h:1/v1"),
        ("/v1/v1/models", "the base URL has /v1 twice: it should be http://h:1/v1"),
        (
            "/v1/v1/messages",
            "the base URL has /v1 at its end, which Anthropic's clients add themselves: it should be http://h:1",
        ),
        ("/chat/completions", "the base URL lacks /v1: it should be http://h:1/v1"),
        ("/models", "the base URL lacks /v1: it should be http://h:1/v1"),
        (
            "/v1/chat/completions/chat/completions",
            "the base URL holds the path of a request: it should be http://h:1/v1",
        ),
        (
            "/v1/messages/v1/messages",
            "the base URL holds the path of a request: for Anthropic's clients it should be http://h:1",
        ),
        (
            "/v1/chat/completions/v1/messages/count_tokens",
            "the base URL holds the path of a request: for Anthropic's clients it should be http://h:1",
        ),
        ("/api/v1/chat/completions", "the base URL should be http://h:1/v1"),
        ("/openai/chat/completions/", "the base URL should be http://h:1/v1"),
        ("/V1/models", "the base URL should be http://h:1/v1"),
        ("/admin/v1/models", ""),
        ("/favicon.ico", ""),
        ("/v2/nothing", ""),
    ],
)
def test_a_wrong_base_url_is_told_the_right_one(path: str, said: str) -> None:
    assert right_base_url(path, "h:1") == said


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/chat/completion", "/v1/chat/completions"),
        ("/v1/embedding", "/v1/embeddings"),
        ("/v1/audio/transcription", "/v1/audio/transcriptions"),
        ("/v1/model", "/v1/models"),
        ("/favicon.ico", ""),
        ("/v1/chat/completions" + "s" * 64, ""),
    ],
)
def test_a_mistyped_path_is_told_which_it_is_most_like(path: str, meant: str) -> None:
    assert like(path) == meant


def test_a_host_that_is_none_is_not_repeated() -> None:
    assert (
        right_base_url("/chat/completions", 'x"><script>') == "the base URL lacks /v1: it should be http://HOST:PORT/v1"
    )


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_path_is_a_detour_or_none(path: bytes) -> None:
    way = detour(path)
    assert way is None or b"//" not in way.path
    right_base_url(path.decode("latin-1"), "h")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"model":"x","n":1}', b'{"model":"m","n":1}'),
        (b'{"n": 1}', b'{"model":"m","n": 1}'),
        (b" { } ", b'{"model":"m"} '),
        (b'{"model":null,"n":1}', b'{"model":"m","n":1}'),
        (b'{"model":"","n":1}', b'{"model":"m","n":1}'),
        (b'{"a":1,"m\\u006fdel":"x"}', b'{"a":1,"model":"m"}'),
        (b'{"tools":{"model":"q"}}', b'{"model":"m","tools":{"model":"q"}}'),
        (b'{"x":"\\ud800"}', b'{"model":"m","x":"\\ud800"}'),
        (b'{"model": "m"}', b'{"model": "m"}'),
    ],
)
def test_a_body_takes_the_model_of_its_path(body: bytes, named: bytes) -> None:
    assert naming(body, "m") == named


@pytest.mark.parametrize(
    "body",
    [b"", b"[1]", b"{", b'"x"', b'{"\xff":1}', b'{"model":"x","\xff":1}', b'{"model":5,', b'{"model":"a","model":"b"}'],
)
def test_what_cannot_be_read_stays_to_be_told_by_whoever_parses_it(body: bytes) -> None:
    assert naming(body, "m") == body


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=40) | st.dictionaries(NAMES, VALUES, max_size=4).map(lambda tree: json.dumps(tree).encode()))
def test_any_body_is_named_or_stays(body: bytes) -> None:
    named = naming(body, "m")
    assert named == body or json.loads(named) == {**json.loads(body), "model": "m"}


MANY = b"{" + b", ".join([b'"k%d":0' % number for number in range(MOST_MEMBERS + 1)])


@pytest.mark.parametrize("own", [b"", b',"model":"x"', b',"model":"m"', b',"tools":{"model":"x"}'])
def test_a_body_of_many_members_is_named_without_being_taken_apart(own: bytes) -> None:
    named = naming(MANY + own + b"}", "m")
    assert json.loads(named)["model"] == "m"
    assert MANY[1:] in named  # blanks and all


@pytest.mark.parametrize("own", [b',"m\\u006fdel":"x"', b',"model":null'])
def test_one_that_would_have_to_be_taken_apart_is_refused(own: bytes) -> None:
    with pytest.raises(Failure, match="too many to look for its `model`"):
        naming(MANY + own + b"}", "m")
