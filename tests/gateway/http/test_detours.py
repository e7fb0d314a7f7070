"""Paths that are asked by mistake: served where they can mean one thing only, else refused with the right base URL."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from gateway.http.detours import Detour, detour, right_base_url
from gateway.workers.detouring import naming

CHAT = b"/v1/chat/completions"


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
        ("/favicon.ico", ""),
        ("/v2/nothing", ""),
    ],
)
def test_a_wrong_base_url_is_told_the_right_one(path: str, said: str) -> None:
    assert right_base_url(path, "h:1") == said


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


def test_a_body_takes_the_model_of_its_path_and_what_is_no_object_stays() -> None:
    assert naming(b'{"model":"x","n":1}', "m") == b'{"model":"m","n":1}'
    assert naming(b'{"n": 1}', "m") == b'{"n":1,"model":"m"}'
    for odd in (b"", b"[1]", b"{", b'"x"'):
        assert naming(odd, "m") == odd
