"""The loop over the other gateways."""

from __future__ import annotations

import json
import pathlib
import socket
from typing import Any

import msgspec
import pytest
import structlog
import trustme

from gateway.peers.answer import EngineLoad, LoadAnswer
from gateway.peers.asking import MOST, AskPeers
from gateway.peers.board import PeerBoard
from gateway.peers.http import HttpAsk
from gateway.settings import Settings, load_settings
from gateway.settings.sections.peers import Peers
from gateway.telemetry.metrics import Metrics
from loadtests.processes.launched import free_port
from tests.gateway.settings.test_admin import MODELS, problems
from tests.scenario.gateway import one_model, running_gateway

pytestmark = pytest.mark.anyio

PEERS = {"dns": "penstock-peers", "port": 8081, "key": "sk-of-the-peers"}


def settings(**peers: Any) -> Settings:
    sections = {"admin": {"listen": "0.0.0.0:8081"}, "peers": {**PEERS, **peers}}
    return load_settings(json.dumps({**MODELS, **sections}), {}).settings


def told(gateway: str, wakes: int = 0) -> bytes:
    engines = [EngineLoad(engine="e", ready_replicas=1, in_flight_requests=2, wakes=wakes)]
    return msgspec.json.encode(LoadAnswer(gateway=gateway, engines=engines))


class Street:
    """Gateways behind one name, and the one that asks them."""

    def __init__(self, **houses: bytes | Exception) -> None:
        self.houses: dict[str, bytes | Exception] = {name.replace("_", "."): one for name, one in houses.items()}
        self.names: list[str] | Exception | None = None
        self.asked: list[str] = []
        self.looks = 0
        self.now = 100.0
        self.board = PeerBoard("me")
        self.metrics = Metrics(())
        self.woken: list[list[str]] = []
        self.asking = AskPeers(self.board, self.metrics, self._ask, self._resolve, lambda: self.now, self.woken.append)
        self.asking.use(settings())

    async def _resolve(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("penstock-peers", 8081)
        self.looks += 1
        if isinstance(self.names, Exception):
            raise self.names
        return list(self.houses) if self.names is None else self.names

    async def _ask(self, _: Peers, address: str) -> bytes:
        self.asked.append(address)
        answer = self.houses[address]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def look(self, after_s: float = 1.0) -> list[str]:
        """The events of the log of one look."""
        self.now += after_s
        with structlog.testing.capture_logs() as lines:
            await self.asking.look()
        return [line["event"] for line in lines]


async def test_each_is_asked_every_time_and_names_are_looked_up_now_and_then() -> None:
    street = Street(a=told("you"), b=told("them"), c=told("me"))
    for _ in range(4):
        assert await street.look() == []
    assert (street.looks, street.asked) == (1, ["a", "b", "c"] * 4)
    street.houses["d"] = told("new")
    await street.look(2.0)
    assert (street.looks, street.board.count(street.now)) == (2, 3)


@pytest.mark.parametrize(
    "answer",
    [
        OSError("connection refused"),
        ValueError("it did not answer within 1 s"),
        b"<html>",
        b"\xff",
        b'{"gateway": 5, "engines": []}',
        b'{"gateway": "you"}',
        b"[" * 100_000,
    ],
)
async def test_one_that_answers_nothing_of_use_is_told_once_and_its_last_count(
    answer: bytes | Exception,
) -> None:
    street = Street(a=told("you"), b=told("them"))
    await street.look()
    street.houses["a"] = answer
    assert [await street.look() for _ in range(3)] == [["peer_silent"], [], []]
    assert street.board.count(street.now) == 2
    await street.look(13.0)
    assert street.board.count(street.now) == 1
    street.houses["a"] = told("you")
    assert await street.look() == ["peer_answers_again"]
    assert street.board.count(street.now) == 2


async def test_a_name_server_that_fails_leaves_them_and_is_told_once() -> None:
    street = Street(a=told("you"))
    await street.look()
    street.names = socket.gaierror(socket.EAI_AGAIN, "try again")
    assert [await street.look(6.0) for _ in range(2)] == [["peers_not_found"], []]
    assert street.asked == ["a"] * 3


async def test_one_that_answers_is_asked_on_when_the_name_leads_there_no_more_and_drained_gateways_are_heard() -> None:
    street = Street(a=told("you"), b=told("them"))
    street.names = ["a", "b"]
    await street.look()
    for names in ([], ["a"]):  # an answer of a name server's may be empty for a moment
        street.names = names
        await street.look(5.0)
        await street.look(5.0)
    assert street.asked.count("b") == 5
    assert street.board.count(street.now) == 2
    street.houses["b"] = ValueError("it did not answer within 2 s")
    for _ in range(4):
        await street.look(4.0)
    asked = street.asked.count("b")
    await street.look()
    assert (street.asked.count("b"), street.asking.complete) == (asked, True)


async def test_who_streams_from_what_is_known_once_everybody_has_been_heard_or_is_nobody() -> None:
    street = Street(a=told("me"), b=ValueError("it did not answer within 2 s"), c=ConnectionRefusedError("nobody"))
    street.names = socket.gaierror(socket.EAI_AGAIN, "try again")
    await street.look()
    assert not street.asking.complete
    street.names = None
    await street.look()
    assert not street.asking.complete
    street.houses["b"] = told("you")
    await street.look()
    assert street.asking.complete
    street.houses["d"] = ValueError("it answers 401")
    await street.look(6.0)
    assert not street.asking.complete
    street.names = []
    await street.look(6.0)
    assert not street.asking.complete
    street.asking.use(load_settings(json.dumps(MODELS), {}).settings)
    assert street.asking.complete


async def test_a_figure_that_cannot_be_is_not_believed() -> None:
    def absurd(**of: Any) -> bytes:
        engine = {"engine": "e", "ready_replicas": 1, "in_flight_requests": 2, **of}
        return json.dumps({"gateway": "you", "engines": [engine]}).encode()

    street = Street(a=absurd())
    await street.look()
    assert street.board.count(street.now) == 1
    for of in (
        {"in_flight_requests": 10**400},
        {"queue_requests": -1},
        {"ended_requests": 2**60},
        {"ttft_base_ms": -0.5},
        {"prefill_ms_per_token": 1e300},
        {"replicas": [["r", -3, False]]},
    ):
        street.houses["a"] = absurd(**of)
        assert await street.look() == ["peer_silent"]
        street.houses["a"] = absurd()
        assert await street.look() == ["peer_answers_again"]


async def test_a_request_that_another_refused_at_once_wakes_the_engine_here() -> None:
    street = Street(a=told("you", wakes=3))
    await street.look()
    assert street.woken == []  # those from before it was met
    await street.look()
    street.houses["a"] = told("you", wakes=5)
    await street.look()
    await street.look()
    assert street.woken == [["e"]]


async def test_no_more_than_some_are_asked() -> None:
    street = Street(**{f"h{n:03}": told(f"g{n}") for n in range(MOST + 1)})
    assert [await street.look(), await street.look(6.0)] == [["peers_left_out"], []]
    assert len(street.asked) == 2 * MOST


async def test_without_the_section_nobody_is_asked_and_nothing_counts() -> None:
    street = Street(a=told("you"))
    await street.look()
    street.asking.use(load_settings(json.dumps(MODELS), {}).settings)
    await street.look()
    assert (street.asked, street.board.count(street.now)) == (["a"], 0)


async def test_peers_without_a_port_to_answer_at_are_refused() -> None:
    assert "admin: {listen" in problems(peers=PEERS)["peers"]
    plain = {"listen": "127.0.0.1:8081"}
    assert "leave out one" in problems(peers={**PEERS, "tls": True}, admin=plain)["peers.tls"]
    tls = {"cert": "/nowhere.crt", "key": "/nowhere.key"}
    assert problems(peers=PEERS, admin={**plain, "tls": tls})["peers.tls"] == "is false, and admin.tls is there; true"
    at_home = problems(peers=PEERS, admin={"listen": "127.0.0.1:8081"})
    assert "only this machine reaches it" in at_home["admin.listen"]
    here = settings(dns="localhost").model_dump()["peers"]["dns"]
    assert here == "localhost"
    ca_file = {"ca_file": "/nowhere.pem"}
    assert "peers.ca_file" in problems(peers={**PEERS, **ca_file}, admin={"listen": "127.0.0.1:8081"})


# -- over HTTP ---------------------------------------------------------------------------------------------------------


async def test_gateways_hear_each_other_by_the_key_and_by_nothing_else() -> None:
    port = free_port()
    section = Peers.model_validate({**PEERS, "port": port})
    config = one_model("http://127.0.0.1:9", admin={"listen": f"0.0.0.0:{port}"}, peers={**PEERS, "port": port})
    config |= {"health": {"interval_s": 600}}
    ask = HttpAsk()
    with structlog.testing.capture_logs():
        async with running_gateway(config) as gateway:
            peering = gateway.plane.peering
            answer = msgspec.json.decode(await ask(section, "127.0.0.1"), type=LoadAnswer)
            assert answer.gateway == peering.own.gateway
            assert [one.engine for one in answer.engines] == ["a"]
            wrong = section.model_copy(update={"key": Peers.model_validate({**PEERS, "key": "sk-other"}).key})
            with pytest.raises(ValueError, match="it answers 401"):
                await ask(wrong, "127.0.0.1")
            small = HttpAsk(most_bytes=10)
            with pytest.raises(ValueError, match="it answers more than 10 bytes"):
                await small(section, "127.0.0.1")
            await small.close()
            headers = {"authorization": f"Bearer {PEERS['key']}"}
            refused = await gateway.http.get(f"http://127.0.0.1:{port}/metrics", headers=headers)
            assert refused.status_code == 401
        with pytest.raises(ConnectionRefusedError, match="it cannot be asked"):
            await ask(section, "127.0.0.1")
    await ask.close()


async def test_over_tls_the_certificate_is_for_the_name_and_not_for_an_address(tmp_path: pathlib.Path) -> None:
    authority = trustme.CA()
    paths = {}
    for name in ("penstock-peers", "other"):
        leaf = authority.issue_cert(name)
        paths[name] = {"cert": str(tmp_path / f"{name}.crt"), "key": str(tmp_path / f"{name}.key")}
        leaf.cert_chain_pems[0].write_to_path(paths[name]["cert"])
        leaf.private_key_pem.write_to_path(paths[name]["key"])
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ask = HttpAsk()
    with structlog.testing.capture_logs():
        for name, answers in (("penstock-peers", True), ("other", False)):
            config = one_model("http://127.0.0.1:9", admin={"listen": "127.0.0.1:0", "tls": paths[name]})
            async with running_gateway({**config, "health": {"interval_s": 600}}) as gateway:
                assert gateway.admin is not None
                port = {"port": gateway.admin.port, "tls": True, "ca_file": str(tmp_path / "ca.pem")}
                section = Peers.model_validate({**PEERS, **port})
                if answers:
                    assert gateway.plane.peering.own.gateway.encode() in await ask(section, "127.0.0.1")
                else:
                    with pytest.raises(ValueError, match=r"it cannot be asked: .*[Hh]ostname mismatch"):
                        await ask(section, "127.0.0.1")
    await ask.close()


async def test_an_authority_of_peers_that_was_rotated_is_read_again(tmp_path: pathlib.Path) -> None:
    paths = {"cert": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}
    ask = HttpAsk(look_every_s=0.0)
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            authority = trustme.CA()
            leaf = authority.issue_cert(str(PEERS["dns"]))
            leaf.cert_chain_pems[0].write_to_path(paths["cert"])
            leaf.private_key_pem.write_to_path(paths["key"])
            config = one_model("http://127.0.0.1:9", admin={"listen": "127.0.0.1:0", "tls": paths})
            async with running_gateway({**config, "health": {"interval_s": 600}}) as gateway:
                assert gateway.admin is not None
                more = {"port": gateway.admin.port, "tls": True, "ca_file": str(tmp_path / "ca.pem")}
                section = Peers.model_validate({**PEERS, **more})
                with pytest.raises(
                    ValueError, match=r"ca\.pem cannot be used: no such|it cannot be asked: .*certificate"
                ):
                    await ask(section, "127.0.0.1")
                authority.cert_pem.write_to_path(tmp_path / "ca.pem")
                assert gateway.plane.peering.own.gateway.encode() in await ask(section, "127.0.0.1")
        (tmp_path / "ca.pem").write_text("half of it")
        with pytest.raises(ConnectionRefusedError):
            await ask(section, "127.0.0.1")
        await ask.close()
    assert [line["of"] for line in lines if line["event"] == "certificates_refused"] == ["peers"]


async def test_one_that_says_nothing_is_waited_for_no_longer_than_a_second() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        section = Peers.model_validate({**PEERS, "port": silent.getsockname()[1]})
        ask = HttpAsk(answer_s=0.01)
        with pytest.raises(ValueError, match=r"it did not answer within 0.01 s|it cannot be asked"):
            await ask(section, "127.0.0.1")
        await ask.close()
