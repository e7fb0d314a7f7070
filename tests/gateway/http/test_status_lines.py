"""First lines of answers and their Date: made once a second for each status that is answered in it."""

from __future__ import annotations

import pytest

from gateway.http.status_lines import StatusLines

AT = 784_111_777.5
"""RFC 9110's own example: Sun, 06 Nov 1994 08:49:37 GMT."""


def test_a_date_is_told_with_every_status_until_the_next() -> None:
    lines = StatusLines()
    assert lines[200] == b"HTTP/1.1 200 OK\r\n"
    lines.tell(AT)
    assert lines[200] == b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert lines[200] is lines[200]  # made once
    lines.tell(AT + 1)
    assert lines[200].endswith(b"08:49:38 GMT\r\n")


@pytest.mark.parametrize(
    ("status", "first"), [(299, b"299 "), (499, b"499 Client Closed Request"), (529, b"529 Overloaded")]
)
def test_a_status_that_no_list_has_is_a_line_too(status: int, first: bytes) -> None:
    lines = StatusLines()
    lines.tell(AT)
    assert lines[status].split(b"\r\n")[0] == b"HTTP/1.1 " + first


def test_no_status_is_outside_of_http() -> None:
    with pytest.raises(KeyError):
        StatusLines()[1000]
