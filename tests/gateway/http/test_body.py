"""The body of a request, however it comes."""

from __future__ import annotations

import tracemalloc

from gateway.http.body import Body

PIECES = 50_000


def test_small_pieces_are_joined() -> None:
    """A list would hold fifty bytes more for each."""
    body = Body(16 * PIECES)
    body.begin(16 * PIECES)
    tracemalloc.start()
    for number in range(PIECES):
        body.add(b"%016d" % number)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 2 * 16 * PIECES
    whole = body.take()
    assert (len(whole), whole[-16:]) == (16 * PIECES, b"%016d" % (PIECES - 1))
