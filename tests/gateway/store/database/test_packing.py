"""Ids come back as they were packed."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.database.packing import pack, unpack

HEX = "0af7651916cd43dd8448eb211c80319c"


@settings(deadline=None)
@given(
    st.text()
    | st.uuids().map(str)
    | st.uuids().map(lambda one: str(one).upper())
    | st.uuids().map(lambda one: one.hex)
    | st.uuids().map(lambda one: f"chatcmpl-{one.hex}")
    | st.text("0123456789abcdef-", min_size=30, max_size=42)
)
def test_what_is_packed_comes_back(text: str) -> None:
    assert unpack(pack(text)) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("text", [HEX, str(uuid.UUID(HEX)), f"chatcmpl-{HEX}"])
def test_an_id_takes_17_bytes(text: str) -> None:
    packed = pack(text)
    assert packed is not None
    assert len(packed) == 17


def test_no_id_takes_none() -> None:
    assert (pack(""), unpack(None)) == (None, "")
