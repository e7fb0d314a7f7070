"""Shares are written once."""

from __future__ import annotations

import msgspec

from gateway.accounts.shares import MOST, WrittenShares


def test_the_same_shares_are_written_once_and_others_anew() -> None:
    written = WrittenShares()
    first, second = (0.95, 0.05), (0.5, 0.5)
    one = written.of(first)
    assert bytes(one) == b"[0.95,0.05]"
    assert written.of(first) is one
    assert bytes(written.of(second)) == b"[0.5,0.5]"
    assert written.of((*first,)) is one  # another tuple of the same
    assert msgspec.json.decode(bytes(written.of(()))) == []


def test_no_more_are_kept_than_there_is_room_for() -> None:
    written = WrittenShares()
    for step in range(2 * MOST + 1):
        written.of((1.0 - step / 1e4, step / 1e4))
    assert len(written._known) <= MOST
