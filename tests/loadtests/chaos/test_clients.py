"""An answer is whole when HTTP says so, and what the outside shows of the gateway is read right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.multipart import boundary_of, parts_of
from gateway.settings import load_settings
from loadtests.chaos.clients import FORM, MODELS, asked, whole
from loadtests.chaos.stage import Stage, summed


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
        (b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{", 0),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", 0),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200),
        (b"HTTP/1.1 200 OK\r\ncontent-le", 0),
        (b"", 0),
        (b"SSH-2.0\r\n\r\n", 0),
    ],
)
def test_only_an_answer_that_ended_as_http_says_is_one(answer: bytes, status: int) -> None:
    assert whole(answer) == status


def test_a_series_is_summed_over_its_labels() -> None:
    text = '# TYPE x gauge\nx{model="a",engine="e"} 2\nx{model="b"} 3.5\nx_total{model="a"} 9\ny 1\n'
    assert (summed(text, "x"), summed(text, "x", 'model="a"'), summed(text, "y"), summed(text, "z")) == (5.5, 2, 1, 0)


@pytest.mark.parametrize("model", MODELS)
def test_each_model_is_asked_for_what_it_does(model: str) -> None:
    path, content_type, body = asked(model, True, 24)
    if content_type == FORM:
        parts = {part.name: body[part.start : part.end] for part in parts_of(body, boundary_of(FORM.encode()))}
        assert (path, parts["model"], parts["stream"]) == ("/v1/audio/transcriptions", b"heard", b"true")
        assert parts["file"].startswith(b"RIFF")
    else:
        read = json.loads(body)
        assert (read["model"], "input" in read) == (model, path == "/v1/embeddings")


def test_the_configuration_of_the_chaos_is_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "penstock", 2, lambda line: None)
    stage._hostile_port = 9
    stage.configure()
    loaded = load_settings((tmp_path / "penstock.yaml").read_text(), {}).settings
    assert set(MODELS) == set(loaded.models)
