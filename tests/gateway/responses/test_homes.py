"""What is remembered of stored responses: bounded, the newest, and asked of others once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Operation
from gateway.errand import Looked
from gateway.errors import Failure
from gateway.http.request import Request
from gateway.responses.homes import Home, Homes
from gateway.responses.keeper import Keeper
from gateway.responses.places import named_in_path, previous_in
from gateway.responses.search import Search
from tests.gateway.flights import FakeConnection

pytestmark = pytest.mark.anyio


def home(response_id: str, replica: str = "0") -> Home:
    return Home(response_id, "m", "e", replica, "t")


@settings(deadline=None)
@given(kept=st.lists(st.integers(0, 9), max_size=60), most=st.integers(1, 6))
def test_the_newest_are_remembered_and_no_more_than_allowed(kept: list[int], most: int) -> None:
    homes = Homes(most)
    for number in kept:
        homes.keep(home(str(number)))
    newest = list(dict.fromkeys(str(number) for number in reversed(kept)))[:most]
    assert [one for one in map(str, range(10)) if homes.find(one) is not None] == sorted(newest)
    assert len(homes) == len(newest)


class Others:
    def __init__(self) -> None:
        self.told: list[Home] = []
        self.asked: list[str] = []

    def kept(self, home: Home) -> None:
        self.told.append(home)

    async def home_of(self, response_id: str) -> Home | None:
        self.asked.append(response_id)
        return home(response_id) if response_id == "resp_there" else None


async def test_others_are_told_once_of_each_and_what_they_know_is_kept() -> None:
    others = Others()
    keeper = Keeper(others)
    for _ in range(3):  # a stream says its id when it begins, and again when it ends
        keeper.keep(home("resp_1"))
    assert others.told == [home("resp_1")]
    assert await keeper.ask("resp_there") == home("resp_there")
    assert keeper.find("resp_there") == home("resp_there")
    assert await keeper.ask("resp_nowhere") is None
    assert others.told == [home("resp_1")]
    assert [keeper.must_ask(name) for name in ("resp_1", "resp_else", "r" * 256, "r" * 257)] == [
        False,
        True,
        True,
        False,
    ]
    alone = Keeper(None)
    assert not alone.must_ask("resp_else")
    assert not alone.shares
    assert await alone.ask("resp_1") is None


@pytest.mark.parametrize(
    ("path", "response_id"),
    [
        (b"/v1/responses/resp_1", "resp_1"),
        (b"/v1/responses/resp_1/cancel", "resp_1"),
        (b"/v1/responses/..", None),
        (b"/v1/responses/%2e%2e", None),
        (b"/v1/responses/a%2fb", None),
        (b"/v1/responses/" + b"x" * 257, None),
        (b"/v1/responses/\xff", None),
    ],
)
def test_an_id_is_one_plain_segment(path: bytes, response_id: str | None) -> None:
    if response_id is None:
        with pytest.raises(Failure) as failure:
            named_in_path(path)
        assert failure.value.status == 404
    else:
        assert named_in_path(path) == response_id


@pytest.mark.parametrize(
    ("body", "previous"),
    [
        (b'{"previous_response_id": "resp_1"}', "resp_1"),
        (b'{"previous_response_id": null}', ""),
        (b'{"previous_response_id": 7}', ""),
        (b'{"input": "say \\"previous_response_id\\" twice"}', ""),
        (b'{"input": [{"previous_response_id": "resp_2"}]}', ""),
        (b'{"previous_response_id"', ""),
    ],
)
def test_only_the_bodys_own_member_names_what_it_follows(body: bytes, previous: str) -> None:
    assert previous_in(body) == previous


class Answering:
    """A request that runs, as its connection sees it."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def client_gone(self) -> None:
        self.heard.append("gone")

    def client_paused(self) -> None:
        self.heard.append("paused")

    def client_resumed(self) -> None:
        self.heard.append("resumed")


class Door:
    def __init__(self) -> None:
        self.work = Answering()
        self.looked: list[Looked | None] = []

    def begin(self, request: Request, operation: Operation, looked: Looked | None = None) -> Answering:
        self.looked.append(looked)
        return self.work


def searching(door: Door) -> tuple[Search, list[object]]:
    request = Request(FakeConnection(), b"GET", "1.1", b"/v1/responses/resp_there", b"", [], {}, b"", True)
    search, work = Search(door, request, Operation.RESPONSE, "resp_there", 5.0), list[object]()
    search.begin(Keeper(Others()), lambda _, coroutine: work.append(coroutine()))
    return search, work


async def test_a_request_goes_on_once_the_others_have_answered() -> None:
    door = Door()
    search, (asking,) = searching(door)
    search.client_paused()
    await asking  # type: ignore[misc]
    (looked,) = door.looked
    assert looked is not None
    assert (looked.home, looked.received_s) == (home("resp_there"), 5.0)
    search.client_resumed()
    search.client_gone()
    assert door.work.heard == ["paused", "resumed", "gone"]


async def test_a_client_that_leaves_meanwhile_is_not_asked_for() -> None:
    door = Door()
    search, (asking,) = searching(door)
    search.client_gone()
    await asking  # type: ignore[misc]
    assert door.looked == []
