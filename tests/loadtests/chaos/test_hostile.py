"""The engine that does everything wrong does each thing in turn, and is healthy to go by its health."""

from __future__ import annotations

import pytest

from loadtests.chaos import hostile

pytestmark = pytest.mark.anyio


async def written(manner: str, most: int = 200_000) -> bytes:
    sent = bytearray()

    async def write(data: bytes) -> None:
        sent.extend(data)
        if len(sent) > most:
            raise ConnectionError

    try:
        await getattr(hostile, manner)(write)
    except ConnectionError:
        sent += b"<cut>"
    return bytes(sent)


@pytest.mark.parametrize("manner", ["endless_headers", "one_endless_header", "endless_error", "endless_trailers"])
async def test_what_is_endless_goes_on_until_it_is_cut(manner: str) -> None:
    assert (await written(manner)).endswith(b"<cut>")


@pytest.mark.parametrize(
    "manner", ["error_in_200_that_is_no_utf8", "error_that_is_no_utf8", "events_that_are_none", "no_http", "stream_cut"]
)
async def test_the_others_come_to_an_end(manner: str) -> None:
    sent = await written(manner)
    assert sent
    assert not sent.endswith(b"<cut>")


async def test_an_error_that_is_no_utf8_is_none() -> None:
    for manner in ("error_in_200_that_is_no_utf8", "error_that_is_no_utf8"):
        body = (await written(manner)).partition(b"\r\n\r\n")[2]
        with pytest.raises(UnicodeDecodeError):
            body.decode()


async def test_one_promises_more_bytes_than_it_sends() -> None:
    head, _, body = (await written("too_short")).partition(b"\r\n\r\n")
    assert b"content-length: 5000" in head
    assert len(body) < 5000


def test_every_manner_is_one_of_the_round() -> None:
    assert len(set(hostile.MANNERS)) == len(hostile.MANNERS) == 13
