"""A gateway without descriptors says so once a spell."""

from __future__ import annotations

import structlog

from gateway.refusing.shortage import QUIET_S, Shortage


def test_a_spell_is_one_line_however_long_and_the_next_is_another() -> None:
    shortage = Shortage()
    with structlog.testing.capture_logs() as lines:
        for second in range(200):
            shortage.tell(1000.0 + second, "too many open files")
        shortage.tell(1199.0 + QUIET_S, "too many open files")
    assert [("out_of_sockets", "too many open files")] * 2 == [(line["event"], line["why"]) for line in lines]
    assert shortage.spells == 2
