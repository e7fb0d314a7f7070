"""A gateway that answers wrongly is never measured; the backend's own answers are the right ones."""

from __future__ import annotations

import json

import pytest

from loadtests.path import backend
from loadtests.path.check import CheckError, body, check_plain, check_stream

PLAIN = backend.plain_body()


def _unframed(writes: list[bytes]) -> bytes:
    """The body of a stream, by an independent reading of chunked framing (RFC 9112 section 7.1)."""
    rest = b"".join(writes).partition(b"\r\n\r\n")[2]
    out = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        out += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
        if length == 0:
            assert rest == b""
            return out


STREAM = _unframed(backend.STREAM)


def test_the_right_answers_pass() -> None:
    check_plain(200, PLAIN)
    check_stream(200, STREAM)


@pytest.mark.parametrize(
    ("status", "reply", "reason"),
    [
        (503, PLAIN, "plain: status 503"),
        (200, PLAIN[:-1], "plain: not a chat completion"),
        (200, b"[]", "plain: not a chat completion"),
        (200, b'{"choices":[]}', "plain: not a chat completion"),
        (200, PLAIN.replace(b"penstock", b"pipe"), "plain: the content or the usage"),
        (200, PLAIN.replace(b'"completion_tokens":100', b'"completion_tokens":1'), "plain: the content or the usage"),
    ],
)
def test_a_wrong_plain_answer_is_refused(status: int, reply: bytes, reason: str) -> None:
    with pytest.raises(CheckError, match=f"^{reason}"):
        check_plain(status, reply)


@pytest.mark.parametrize(
    ("status", "reply", "reason"),
    [
        (502, STREAM, "stream: status 502"),
        (200, b"", r"stream: it does not end in \[DONE\]"),
        (200, STREAM.removesuffix(b"data: [DONE]\n\n"), r"stream: it does not end in \[DONE\]"),
        (200, STREAM.replace(b" token42", b""), "stream: 99 chunks with content instead of 100"),
        (200, STREAM.replace(b'"finish_reason":"stop"', b'"finish_reason":null'), "stream: no finish reason"),
        (200, b'data: {"error":{}}\n\n' + STREAM, "stream: not a chunk"),
        (200, _unframed(backend.STREAM_WITH_USAGE), "stream: a usage that nobody asked for"),
    ],
)
def test_a_wrong_stream_is_refused(status: int, reply: bytes, reason: str) -> None:
    with pytest.raises(CheckError, match=f"^{reason}"):
        check_stream(status, reply)


def test_the_two_questions_differ_in_stream_only() -> None:
    assert json.loads(body(stream=True)) == json.loads(body(stream=False)) | {"stream": True}
