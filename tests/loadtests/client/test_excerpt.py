"""What is shown of a failed answer is short, one line, and holds no credential."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.client.excerpt import HIDDEN, MAX_CHARACTERS, Excerpts, is_ours

KEY = "token-0123456789abcdef"


def test_the_credential_that_was_sent_is_hidden_wherever_it_stands() -> None:
    said = f'{{"error": "Incorrect API key {KEY}", "again": "x{KEY}x"}}'.encode()
    assert Excerpts([f"Bearer {KEY}"]).of(said) == f'{{"error": "Incorrect API key {HIDDEN}", "again": "x{HIDDEN}x"}}'


@pytest.mark.parametrize("key", ["sk-proj-abcdefghijkl", "gsk_abcdefghijkl", "Bearer eyJhbGciOi"])
def test_what_looks_like_a_key_is_hidden_too(key: str) -> None:
    shown = Excerpts().of(f"denied: {key}, sorry".encode())
    assert HIDDEN in shown
    assert key.removeprefix("Bearer ") not in shown


def test_it_is_one_line_of_printable_text() -> None:
    assert Excerpts().of(b"<html>\r\n  <b>\x1b[31mno\xff</b>\n") == "<html> <b> [31mno\ufffd</b>"


@settings(deadline=None)
@given(st.binary(max_size=4000))
def test_whatever_comes_is_bounded_and_printable(said: bytes) -> None:
    shown = Excerpts([KEY]).of(said + KEY.encode())
    assert len(shown) <= MAX_CHARACTERS
    assert shown.isprintable()
    assert KEY not in shown


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
        (OSError("Multiple exceptions: [Errno 99] Cannot assign, [Errno 24] Too many"), True),
        (OSError("Multiple exceptions: [Errno 99] Cannot assign, [Errno 111] refused"), False),
        (OSError("no number at all"), False),
    ],
)
def test_only_what_this_machine_lacks_is_ours(error: OSError, ours: bool) -> None:
    assert ours is is_ours(error)
