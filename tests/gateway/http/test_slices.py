"""What waits for a slow reader over TLS waits in one place, and is handed over in order, a slice at a time."""

from __future__ import annotations

import asyncio
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.slices import SLICE_BYTES, SlicedTransport


class Inner:
    """A TLS transport as far as ours can tell: full as soon as anything waits, until the test lets it leave."""

    def __init__(self) -> None:
        self.sliced: SlicedTransport
        self.left: list[bytes] = []
        self.held: list[bytes] = []
        self.reads = False
        self.state = "open"
        self.high = -1

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.high = high

    def write(self, data: bytes) -> None:
        assert self.state == "open"
        assert not self.held, "handed over before the slice before it had left"
        if self.reads:
            self.left.append(bytes(data))
        else:
            self.held.append(bytes(data))
            self.sliced.full()

    def leave(self) -> None:
        """The client takes what is held."""
        self.left += self.held
        self.held.clear()
        self.sliced.empty()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.held))

    def is_closing(self) -> bool:
        return self.state != "open"

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"


class Told:
    def __init__(self) -> None:
        self.told: list[str] = []

    def slow(self) -> None:
        self.told.append("slow")

    def caught_up(self) -> None:
        self.told.append("caught up")


def sliced(mark: int = 1000) -> tuple[SlicedTransport, Inner, Told]:
    inner, told = Inner(), Told()
    inner.sliced = SlicedTransport(cast("asyncio.Transport", inner), told)
    inner.sliced.set_write_buffer_limits(high=mark)
    return inner.sliced, inner, told


sizes = st.one_of(st.integers(1, 100), st.integers(SLICE_BYTES - 2, SLICE_BYTES + 2), st.integers(1, 5 * SLICE_BYTES))


@settings(deadline=None)
@given(steps=st.lists(sizes | st.none(), max_size=40), closes=st.booleans())
def test_everything_leaves_in_order_and_one_slice_at_most_is_handed_over(
    steps: list[int | None], *, closes: bool
) -> None:
    transport, inner, told = sliced()
    sent = b""
    for number, size in enumerate(steps):
        if size is None:
            if inner.held:
                inner.leave()
            continue
        data = bytes([number % 256]) * size
        sent += data
        transport.write(data)
        assert transport.get_write_buffer_size() == len(sent) - sum(map(len, inner.left))
        assert inner.get_write_buffer_size() <= SLICE_BYTES
        assert (transport._waiting_bytes > 1000) <= (told.told[-1:] == ["slow"])
    if closes:
        transport.close()
        transport.write(b"dropped")
        assert (inner.state == "closed") == (not transport._waiting)
    while inner.held:
        inner.leave()
    assert b"".join(inner.left) == sent
    assert max(map(len, inner.left), default=0) <= SLICE_BYTES
    assert told.told == ["slow", "caught up"] * (len(told.told) // 2)
    assert inner.state == ("closed" if closes else "open")


def test_a_client_that_reads_is_never_called_slow() -> None:
    transport, inner, told = sliced(mark=1000)
    inner.reads = True
    transport.write(b"x" * 10 * SLICE_BYTES)
    assert told.told == []
    assert transport.get_write_buffer_size() == 0
    assert inner.left == [b"x" * SLICE_BYTES] * 10


def test_small_pieces_share_a_slice() -> None:
    transport, inner, _ = sliced()
    transport.write(b"first")
    for _ in range(1000):
        transport.write(b"a piece")
    inner.leave()
    inner.leave()
    assert inner.left == [b"first", b"a piece" * 1000]


def test_an_abort_drops_what_waits() -> None:
    transport, inner, _ = sliced()
    transport.write(b"x" * 100_000)
    transport.abort()
    assert inner.state == "aborted"
    assert transport._waiting_bytes == 0
    assert transport.is_closing()
