"""A watch over real HTTP against an API server that answers as a recorded one: nothing is missed, whatever breaks."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.kubernetes.api import Api, ApiError, ApiPlace, in_cluster, own_namespace
from gateway.kubernetes.pool import ServingPod
from gateway.kubernetes.slices import Slice
from gateway.kubernetes.watch import MOST_HASTY, Expired, Watch
from tests.gateway.kubernetes.api_server import EXPIRED, ApiServer, endpoint, running_api_server
from tests.gateway.kubernetes.spawning import spawn
from tests.scenario.upstream import Answer, End, plain

pytestmark = pytest.mark.anyio

PATH = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


class Follower:
    """A watch that runs, and what it told."""

    def __init__(self, api: Api, relist_s: float) -> None:
        self.told: list[str] = []
        self.rests: list[float] = []
        self.turns = asyncio.Semaphore(0)
        self.over = asyncio.Event()
        self.watch = Watch(
            api,
            PATH,
            "kubernetes.io/service-name=eng",
            Slice,
            changed=lambda name, now: self.told.append(f"{name}:{len(now.endpoints or ())}"),
            gone=lambda name: self.told.append(f"{name} gone"),
            named="eng",
            rng=random.Random(1),
            relist_s=relist_s,
            pause=self._pause,
        )

    async def _pause(self, seconds: float, over: asyncio.Event) -> None:
        self.rests.append(seconds)
        await self.turns.acquire()

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not what():
                await asyncio.sleep(0)

    async def until_told(self, *told: str) -> None:
        await self.until(lambda: self.told == list(told))


@asynccontextmanager
async def following(relist_s: float = 1e9, token_file: str = "") -> AsyncIterator[tuple[ApiServer, Follower]]:
    async with running_api_server() as server:
        api = Api(ApiPlace(server.url, token_file), spawn)
        follower = Follower(api, relist_s)
        server.put("s", [endpoint("a", "10.0.0.1")])
        running = asyncio.ensure_future(follower.watch.run(follower.over))
        try:
            yield server, follower
        finally:
            follower.over.set()
            follower.turns.release()
            await asyncio.wait_for(running, 60)
            await api.close()


@pytest.fixture
def lines() -> Any:
    with structlog.testing.capture_logs() as logged:
        yield logged


async def test_what_is_there_is_told_and_then_what_changes() -> None:
    async with following() as (server, follower):
        await server.until_watched()
        server.put("s", [endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2")])
        server.put("t", [])
        server.delete("s")
        await follower.until_told("s:1", "s:2", "t:0", "s gone")
        listed, watched = server.queries
        assert listed == {"labelSelector": "kubernetes.io/service-name=eng", "limit": "500"}
        assert (watched["resourceVersion"], watched["allowWatchBookmarks"]) == ("101", "true")
        assert 300 <= int(watched["timeoutSeconds"]) <= 600
        assert follower.watch.heard_s > 0


async def test_a_watch_whose_time_is_up_goes_on_from_the_last_version_bookmarks_included() -> None:
    async with following() as (server, follower):
        await server.until_watched()
        server.bookmark()
        version = server.version
        await follower.until(lambda: follower.watch._version == str(version))
        server.end_watches()
        await server.until_watched()
        assert server.queries[-1]["resourceVersion"] == str(version)
        server.put("t", [])
        await follower.until_told("s:1", "t:0")
        assert len(server.queries) == 3, "one list, two watches"


async def test_what_went_while_the_version_was_forgotten_is_told_as_gone() -> None:
    async with following() as (server, follower):
        await server.until_watched()
        server.delete("s", unheard=True)
        server.put("t", [])
        server.forget()
        server.watches[0].lines.clear()
        server.end_watches()
        await follower.until(lambda: "s gone" in follower.told)
        assert follower.told[-2:] in (["t:0", "s gone"], ["s gone", "t:0"]) or follower.told[-1] == "s gone"
        await server.until_watched()
        assert ["watch" in query for query in server.queries] == [False, True, True, False, True]
        assert follower.rests == [], "an expired version is no failure"


async def test_a_version_that_is_forgotten_each_time_is_listed_again_after_pauses_only(lines: list[Any]) -> None:
    async with following() as (server, follower):
        await server.until_watched()
        server.oldest = 10**9
        server.end_watches()
        await follower.until(lambda: follower.rests)
        asked = len(server.queries)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(server.queries) == asked <= 2 * (MOST_HASTY + 1)
        follower.turns.release()
        await follower.until(lambda: len(follower.rests) == 2)
        assert follower.rests[0] < follower.rests[1]
        server.oldest = 0
        follower.turns.release()
        await server.until_watched()
        server.put("t", [])
        await follower.until_told("s:1", "t:0")
        assert [line["event"] for line in lines] == ["discovery_failed", "discovery_recovered"]


class Pages:
    """An API server whose pages are never at an end."""

    def __init__(self, *answers: bytes | ApiError) -> None:
        self.answers = answers
        self.asked = 0

    async def get(self, path: str, query: dict[str, str]) -> bytes:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        assert self.asked < 100
        if isinstance(answer, ApiError):
            raise answer
        return answer


PAGE = b'{"metadata": {"resourceVersion": "1", "continue": "%b"}, "items": []}'
FORGOTTEN = ApiError("too old", 410, "Expired")


@pytest.mark.parametrize(
    ("answers", "asked", "why"),
    [
        ((PAGE % b"x", FORGOTTEN, PAGE % b"x", FORGOTTEN, PAGE % b"x", FORGOTTEN), 4, "too old"),
        ((PAGE % b"x",), 2, "goes on with a page"),
        ((PAGE % b"x", PAGE % b"y", PAGE % b"z", PAGE % b"y"), 4, "goes on with a page"),
        ([PAGE % b"%d" % at for at in range(60)], 50, "no end after 50 pages"),
    ],
)
async def test_a_list_without_an_end_is_a_failure(
    answers: Any, asked: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.kubernetes.watch.MOST_PAGES", 50)
    server: Any = Pages(*answers)
    follower = Follower(server, 1e9)
    with pytest.raises(ApiError, match=why):
        await follower.watch._list()
    assert server.asked == asked


@pytest.mark.parametrize(
    "failing",
    [
        plain({"kind": "Status", "message": "etcd is away", "reason": "InternalError", "code": 500}, 500),
        plain({"kind": "Status", "message": "no", "reason": "Forbidden", "code": 403}, 403),
        plain(b"<html>"),
        plain(b'{"metadata": {"resourceVersion": "1"}, "items": [[]]}'),
        plain(b""),
        Answer([b"{", End.CLOSE], 200, (), None, 100),
        Answer([End.RESET]),
    ],
)
async def test_after_a_failure_it_lists_again_and_what_is_known_stays(failing: Answer, lines: list[Any]) -> None:
    async with following() as (server, follower):
        await server.until_watched()
        server.failing = failing
        server.end_watches()
        await follower.until(lambda: follower.rests)
        follower.turns.release()
        await follower.until(lambda: len(follower.rests) == 2)
        assert follower.told == ["s:1"]
        server.failing = None
        server.delete("s", unheard=True)
        follower.turns.release()
        await follower.until_told("s:1", "s gone")
        await follower.until(lambda: lines[-1]["event"] == "discovery_recovered")
        assert 0.0 < follower.rests[0] < follower.rests[1] <= 1.0
        assert lines[0]["event"] == "discovery_failed"
        assert len(lines) <= 3, "a failure that goes on is told once"


async def test_a_broken_watch_and_one_with_nonsense_in_it(lines: list[Any]) -> None:
    async with following() as (server, follower):
        for nonsense in (
            b"\xff\n",
            b'{"type": "ERROR", "object": {"code": 500, "message": "away"}}\n',
            b'{"type": 1}\n',
        ):
            await server.until_watched()
            server.watches.pop().put(nonsense)
            await follower.until(lambda: follower.rests)
            follower.rests.clear()
            follower.turns.release()
        await server.until_watched()
        server.put("t", [])
        await follower.until_told("s:1", "t:0")


async def test_everything_is_listed_again_now_and_then_whatever_the_watch_says() -> None:
    async with following(relist_s=0.0) as (server, follower):
        await server.until_watched()
        server.delete("s", unheard=True)
        server.end_watches()
        await follower.until_told("s:1", "s gone")


async def test_long_lists_come_in_pages() -> None:
    async with running_api_server() as server:
        for number in range(1201):
            server.slices[f"s{number:04d}"] = {"metadata": {"name": f"s{number:04d}", "resourceVersion": "7"}}
        api = Api(ApiPlace(server.url), spawn)
        follower = Follower(api, 1e9)
        await follower.watch._list()
        await api.close()
        assert len(follower.told) == 1201
        assert [query.get("continue") for query in server.queries] == [None, "500", "1000"]


async def test_the_token_is_read_for_each_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    async with following(token_file=str(file)) as (server, _):
        await server.until_watched()
        file.write_text("second")
        server.end_watches()
        await server.until_watched()
        assert server.tokens == ["Bearer first", "Bearer first", "Bearer second"]


async def test_a_token_file_that_becomes_a_pipe_holds_no_thread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    api = Api(ApiPlace("http://127.0.0.1:9", str(tmp_path / "token")), spawn)
    with pytest.raises(ApiError, match="not a regular file"):
        await api.get("/version")
    await api.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "no such file"), ("a" * 70_000, "larger than"), ("a\nb c", "holds no token"), ("é", "no text")],
)
async def test_a_token_that_cannot_be_read_is_said_and_not_shown(tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    api = Api(ApiPlace("http://127.0.0.1:9", str(file)), spawn)
    with pytest.raises(ApiError, match=says) as raised:
        await api.get("/version")
    assert text is None or text not in str(raised.value)
    await api.close()


async def test_an_authority_that_cannot_be_read_and_a_server_that_is_away(tmp_path: Path) -> None:
    api = Api(ApiPlace("https://127.0.0.1:9", ca_file=str(tmp_path / "none.pem")), spawn)
    with pytest.raises(ApiError, match=r"is not asked: .*none\.pem cannot be used"):
        await api.get("/version")
    away = Api(ApiPlace("http://127.0.0.1:9"), spawn)
    with pytest.raises(ApiError, match="the API server is not reached"):
        await away.get("/version")
    await away.close()


def test_where_the_api_server_of_ones_own_cluster_is(tmp_path: Path) -> None:
    assert in_cluster({}) is None
    place = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path)
    assert place == ApiPlace("https://[fd00::1]:6443", str(tmp_path / "token"), str(tmp_path / "ca.crt"))
    assert own_namespace(tmp_path) == "default"
    (tmp_path / "namespace").write_text("llm\n")
    assert own_namespace(tmp_path) == "llm"


async def test_a_watch_that_says_nothing_for_long_is_over_and_no_failure() -> None:
    async with running_api_server() as server:
        api = Api(ApiPlace(server.url), spawn)
        said = [line async for line in api.lines(PATH, {"watch": "1", "resourceVersion": "100"}, idle_s=0.05)]
        assert said == [b""]
        await api.close()


@pytest.mark.parametrize(
    ("line", "raised", "why"),
    [
        ({"type": "ERROR", "object": EXPIRED}, Expired, "^$"),
        (
            {"type": "ERROR", "object": {**EXPIRED, "code": 500, "reason": "InternalError"}},
            ApiError,
            "too old resource",
        ),
        ({"type": "MODIFIED", "object": EXPIRED}, ApiError, "cannot be read"),
        ({"type": "ERROR", "object": {"code": "410"}}, ApiError, "cannot be read"),
    ],
)
async def test_a_failure_is_understood_whatever_is_followed(line: Any, raised: type[Exception], why: str) -> None:
    """A pod's status is an object, a failure's a text."""
    nobody: Any = None
    watch = Watch(nobody, "/pods", "", ServingPod, changed=nobody, gone=nobody, named="pods", rng=random.Random(1))
    with pytest.raises(raised, match=why):
        watch._event(json.dumps(line).encode())
