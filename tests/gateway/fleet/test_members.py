"""What is told of many replicas travels in parts, each of which is read in its turn."""

from __future__ import annotations

import msgspec
import pytest

from gateway.fleet.members import Member, packed, unpacked

MEMBERS = [Member("e", "a", "http://h:1", zone="z", life="u"), Member("e", "b", healthy=False), Member("f", "a")]


def test_members_come_out_of_parts_as_they_went_in() -> None:
    assert [*unpacked([packed(MEMBERS[:2]), packed([]), packed(MEMBERS[2:])])] == MEMBERS
    assert [*unpacked([])] == []


def test_a_part_is_read_once_what_is_before_it_has_been_taken() -> None:
    members = unpacked([packed(MEMBERS[:2]), b"\xc1", packed(MEMBERS[2:])])
    assert [next(members), next(members)] == MEMBERS[:2]
    with pytest.raises(msgspec.DecodeError):
        next(members)
