"""What gateways tell one another through the store, across versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from gateway.control.releases.telling import LATER, Telling
from gateway.experiments.seen import packed
from gateway.store.database.opening import engine_of
from gateway.store.releases.messages import FORM
from routing.gate.observation import ERROR, Assigned, Measured, Observation, Settled
from tests.gateway.control.releases.world import CLEAN, DEAD, Gateway, Store, World, spec
from tests.gateway.store.records import sqlite_url

SEEN: list[Observation] = [
    Assigned("e", 1, 7, (0.5, 0.5)),
    Settled("e", 1, 7, (0.5, 0.5), "ab", ERROR, 12.0, None, 20.0, None, 3.0),
    Measured("e", 0, 2**63, (0.5, 0.5), "cd", "helpful", 1.0),
]


def batch_of(seen: list[Observation]) -> bytes:
    telling = Telling(lambda: "t")
    telling.begin()
    telling.saw(seen)
    return telling.batch()


def rows(*told: tuple[int, list[object]]) -> bytes:
    """As gateways wrote them before there were columns."""
    return msgspec.msgpack.encode(["other", told])


def test_another_gateways_batch_is_weighed_and_ones_own_is_not_weighed_twice() -> None:
    other = Telling(lambda: "u")
    other.begin()
    assert list(other.heard([(1, batch_of(SEEN))])) == SEEN
    itself = Telling(lambda: "t")
    itself.begin()
    assert list(itself.heard([(1, batch_of(SEEN))])) == []
    assert (other.weighed, itself.weighed) == ([1], [1])


def test_what_the_version_before_this_one_told_is_weighed_too() -> None:
    old = rows(
        (0, ["e", 1, 7, [0.5, 0.5]]),
        (1, ["e", 1, 7, [0.5, 0.5], "ab", ERROR, 12.0, None, 20.0, None, 3.0]),
        (2, ["e", 0, 2**63, [0.5, 0.5], "cd", "helpful", 1.0]),
    )
    telling = Telling()
    assert list(telling.heard([(4, old)])) == SEEN
    assert telling.unread == 0


def test_what_nobody_here_can_read_is_counted_and_keeps_nothing_else_back() -> None:
    telling = Telling()
    later = [msgspec.msgpack.encode(["t", 2, b""]), rows((3, ["e", 1, 7, [1.0]])), rows((0, ["e", "1", 7, [1.0]]))]
    told = [*enumerate(later), (9, batch_of(SEEN))]
    assert list(telling.heard(told)) == SEEN
    assert telling.unread == 3


# -- of a later version ------------------------------------------------------------------------------------------------

BY_HAND = b"\x93\xa5other\xc4\x03abc\x81\xa4what\xa2it"
"""What a later version may write: ["other", bytes, {"what": "it"}]."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def told_later(directory: Path, form: int = 2) -> None:
    """A gateway of a later version tells one batch."""
    insert = "INSERT INTO release_observations (observations, form) VALUES (:told, :form)"
    engine = engine_of(sqlite_url(directory))
    with engine.begin() as connection:
        connection.execute(text(insert), {"told": BY_HAND, "form": form})
    engine.dispose()


def later_in(directory: Path, *, taken: bool = False) -> list[bytes]:
    """What such gateways have told; `taken` by one of theirs, which decides."""
    engine = engine_of(sqlite_url(directory))
    with engine.begin() as connection:
        found = connection.execute(text("SELECT observations FROM release_observations WHERE form > 1")).scalars().all()
        if taken:
            connection.execute(text("DELETE FROM release_observations WHERE form > 1"))
    engine.dispose()
    return list(found)


@pytest.mark.anyio
async def test_what_a_later_version_told_waits_unread_and_nothing_goes_up_until_one_of_theirs_decides(
    store: Store, tmp_path: Path
) -> None:
    world = World()
    gateway = Gateway(world, store, 2, [spec()])
    await world.play(2, gateway)
    for _ in range(3):
        told_later(tmp_path)
    await world.play(100, gateway)  # evidence is stored meanwhile, ten times
    assert gateway.share == 0.1
    assert gateway.releases.sentence(gateway.releases.find("chat")) == LATER.format(3)
    assert gateway.releases._telling.unread == 3
    assert later_in(tmp_path, taken=True) == [BY_HAND] * 3
    await world.play(100, gateway)
    assert gateway.share == 1.0
    assert gateway.releases._telling.unread == 3


@pytest.mark.anyio
async def test_what_a_later_version_told_holds_no_rollback_and_nothing_that_somebody_presses(
    store: Store, tmp_path: Path
) -> None:
    world = World()
    gateway = Gateway(world, store, 2, [spec()])
    told_later(tmp_path)
    await world.play(10, gateway)
    assert gateway.share == 0.0
    _, problem = await gateway.releases.press("chat", "", "start", "alice")
    assert (problem, gateway.share) == ("", 0.1)
    await world.play(1, gateway, canary=DEAD)
    assert gateway.share == 0.0
    assert later_in(tmp_path) == [BY_HAND]


@pytest.mark.anyio
async def test_later_batches_hide_none_that_can_be_read(store: Store, tmp_path: Path) -> None:
    """Whoever decides takes a thousand batches at once; those it cannot read are not among them."""
    world = World()
    first, second = Gateway(world, store, 2, [spec()]), Gateway(world, store, 2, [spec()])
    await world.play(2, first, second)
    for _ in range(1_100):
        told_later(tmp_path)
    second.requests(400, canary=DEAD)
    await world.play(2, second, first, canary=CLEAN)
    assert first.share == second.share == 0.0


def test_each_later_batch_is_counted_once() -> None:
    telling = Telling()
    assert telling.waits(2) == telling.waits(2) == LATER.format(2)
    assert (telling.waits(0), telling.waits(1)) == ("", LATER.format(1))
    assert telling.unread == 3


def test_the_form_is_told_of_by_its_number() -> None:
    """Whoever changes these bytes so that the version before cannot read them gives `FORM` the next number."""
    half = b"\xcb\x3f\xe0" + bytes(6)  # 0.5
    places = b"\x91\x92\xa1e\x92" + half * 2
    heads = b"\x93\x04\x05\x02"
    units = b"\x93\x07\x07\xcf\x80" + bytes(7)
    times = b"\xcb\x40\x28" + bytes(6) + b"\xc0\xcb\x40\x34" + bytes(6)  # 12 ms to the first token, of 20
    settled = b"\x91\x97\xa2ab\x01" + times + b"\xc0\xcb\x40\x08" + bytes(6)  # without a cost, among 3
    measured = b"\x91\x93\xa2cd\xa7helpful\xcb\x3f\xf0" + bytes(6)
    assert (FORM, packed(SEEN)) == (1, b"\x95" + places + heads + units + settled + measured)
