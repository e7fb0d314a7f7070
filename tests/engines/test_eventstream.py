"""AWS event streams: whole messages, both sums, and headers of every type."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.eventstream import MOST_PAYLOAD_BYTES, Damaged, decode, encode, whole_messages

NAMES = st.text(min_size=1, max_size=20)  # at most 80 bytes
MESSAGES = st.lists(
    st.tuples(st.dictionaries(NAMES, st.text(max_size=40), max_size=4), st.binary(max_size=80)), max_size=4
)


def told(block: bytes) -> list[tuple[dict[str, str], bytes]]:
    return [(dict(message.headers), message.payload) for message in decode(block)]


def read(block: bytes) -> None:
    assert whole_messages(block) <= len(block)
    decode(block)


@given(MESSAGES)
def test_there_and_back(messages: list[tuple[dict[str, str], bytes]]) -> None:
    assert told(b"".join(encode(*message) for message in messages)) == messages


@given(MESSAGES, st.data())
def test_any_cut_gives_the_whole_messages_before_it(
    messages: list[tuple[dict[str, str], bytes]], data: st.DataObject
) -> None:
    encoded = [encode(*message) for message in messages]
    block = b"".join(encoded)
    cut = data.draw(st.integers(0, len(block)))
    whole = whole_messages(bytearray(block[:cut]))
    assert whole == max(size for size in [sum(map(len, encoded[:n])) for n in range(len(encoded) + 1)] if size <= cut)
    rest = whole_messages(block, whole)
    assert told(block[:whole]) + told(block[whole:rest]) == messages


@given(st.binary(max_size=20), st.data())
def test_one_changed_bit_is_found_out(payload: bytes, data: st.DataObject) -> None:
    message = bytearray(encode({":event-type": "x"}, payload))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Damaged):
        read(bytes(message))


def raw(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def test_headers_that_are_no_text_are_stepped_over() -> None:
    sizes = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
    block = b"".join(b"\x01n" + bytes([kind]) + bytes(size) for kind, size in sizes.items())
    block += b"\x01b\x06\x00\x03abc" + b"\x01t\x07\x00\x02hi"
    assert told(raw(block, b"payload")) == [({"t": "hi"}, b"payload")]


@pytest.mark.parametrize(
    "headers",
    [b"\x05a", b"\x01a\x63", b"\x01a\x07\x00\x09hi", b"\x01a\x07\x00", b"\x01\xff\x07\x00\x00", b"\x01a\x05\x00"],
)
def test_headers_that_cannot_be_read(headers: bytes) -> None:
    with pytest.raises(Damaged):
        decode(raw(headers))


@pytest.mark.parametrize(("total", "headers"), [(8, 0), (16 + MOST_PAYLOAD_BYTES + 1, 0), (20, 30), (400_000, 200_000)])
def test_lengths_out_of_bounds_are_not_waited_for(total: int, headers: int) -> None:
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(Damaged):
        whole_messages(prelude + struct.pack(">I", zlib.crc32(prelude)))


@pytest.mark.parametrize("size", [1, 15, 20])
def test_a_block_that_is_no_whole_message(size: int) -> None:
    with pytest.raises(Damaged):
        decode(encode({"a": "b"}, b"payload")[:size])


def test_what_a_message_is_called() -> None:
    event, exception, error = decode(
        encode({":message-type": "event", ":event-type": "messageStop"}, b"")
        + encode({":message-type": "exception", ":exception-type": "throttlingException"}, b"")
        + encode({":message-type": "error", ":error-code": "500"}, b"")
    )
    assert [(one.kind, one.name) for one in (event, exception, error)] == [
        *(("event", "messageStop"), ("exception", "throttlingException"), ("error", "500")),
    ]
