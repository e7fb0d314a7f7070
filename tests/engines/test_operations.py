"""Operations as data: how each is asked for, and which one a path means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from engines.operations import SHAPES, Paths, Shape

MADE = Paths(
    {
        Operation.CHAT: Shape((b"POST",), "/v1/chat/completions", "json"),
        Operation.RESPONSES: Shape((b"GET",), "/v1/responses/{id}", "none"),
        Operation.SCORE: Shape((b"POST",), "/v1/files/{id}/content", "multipart"),
    }
)


def test_every_operation_has_a_shape_and_is_found_by_its_path() -> None:
    assert set(SHAPES) == set(Operation)
    paths = Paths(SHAPES)
    assert [paths.get(operation.value.encode()) for operation in Operation] == list(Operation)


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        (b"/v1/chat/completions", Operation.CHAT),
        (b"/v1/responses/resp_1", Operation.RESPONSES),
        (b"/v1/files/f-1/content", Operation.SCORE),
        (b"/v1/responses/", None),
        (b"/v1/responses", None),
        (b"/v1/responses/a/b", None),
        (b"/v1/files//content", None),
        (b"/v1/chat/completions/", None),
        (b"", None),
    ],
)
def test_a_place_stands_for_one_segment_that_is_not_empty(path: bytes, operation: Operation | None) -> None:
    assert MADE.get(path) is operation
    assert (path in MADE) == (operation is not None)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name))
def test_any_name_fits_a_place(name: bytes) -> None:
    assert MADE.get(b"/v1/responses/%b" % name) is Operation.RESPONSES


def test_two_operations_cannot_have_one_path() -> None:
    shape = Shape((b"POST",), "/v1/same", "json")
    with pytest.raises(ValueError, match="two operations have the path /v1/same"):
        Paths({Operation.CHAT: shape, Operation.SCORE: shape})
