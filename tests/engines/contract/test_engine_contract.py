"""What every engine kind promises, kept by each of them. A new kind adds a stand and passes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from engines.errors import AnswerTruncated, ConnectFailed, FirstByteTimeout, TotalTimeout
from engines.model import Deadlines, Operation
from engines.port import Engine, Exchange, Outgoing, Replica
from tests.engines.contract.stands import Stand, openai, simulator, simulator_process, vllm
from tests.engines.http1.recorder import Recorder
from tests.engines.http1.upstream import ended, nobody_home, until

pytestmark = pytest.mark.anyio

PATIENT = Deadlines(connect_s=1000, first_byte_s=1000, idle_s=1000)
REQUEST = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}


@pytest.fixture(scope="module")
def simulator_url() -> Iterator[str]:
    with simulator_process() as url:
        yield url


@pytest.fixture(params=["vllm", "simulator", "openai"])
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    if request.param == "simulator":
        standing = simulator(request.getfixturevalue("simulator_url"))
    else:
        standing = vllm() if request.param == "vllm" else openai()
    async with standing as one:
        yield one


def ask(
    engine: Engine, *, stream: bool = False, deadlines: Deadlines = PATIENT, headers: bytes = b""
) -> tuple[Exchange, Recorder]:
    sink = Recorder()
    body = json.dumps({**REQUEST, "stream": stream}).encode()
    return engine.send(engine.replicas[0].id, Outgoing(Operation.CHAT.value, headers, body), deadlines, sink), sink


async def test_a_plain_answer_arrives_whole_and_its_connection_serves_again(stand: Stand) -> None:
    for _ in range(2):
        _, sink = ask(stand.engine)
        await ended(sink)
        assert (sink.status, sink.calls[-1]) == (200, "done")
        assert json.loads(sink.body)["object"] == "chat.completion"
        assert dict(sink.headers)[b"content-type"].startswith(b"application/json")
        assert stand.engine.open_connections == 1


async def test_a_stream_arrives_as_it_was_sent_up_to_its_end_marker(stand: Stand) -> None:
    _, sink = ask(stand.engine, stream=True)
    await ended(sink)
    assert (sink.status, sink.calls[-1]) == (200, "done")
    assert dict(sink.headers)[b"content-type"].startswith(b"text/event-stream")
    events = sink.body.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    assert all(json.loads(event.removeprefix(b"data: "))["object"] == "chat.completion.chunk" for event in events[:-2])
    assert stand.engine.open_connections == 1


async def test_the_beginning_of_a_stream_is_passed_on_before_its_end_is_known(stand: Stand) -> None:
    await stand.behave("slow")
    exchange, sink = ask(stand.engine, stream=True)
    await until(lambda: "flush" in sink.calls)
    assert sink.body.startswith(b"data: {")
    exchange.abort()


@pytest.mark.parametrize(("behaviour", "stream"), [("slow", True), ("prefill", True), ("prefill", False)])
async def test_an_abort_frees_the_server_and_silences_the_sink(stand: Stand, behaviour: str, stream: bool) -> None:
    await stand.behave(behaviour)
    exchange, sink = ask(stand.engine, stream=stream)
    await stand.until_serving(1)
    if behaviour == "slow":
        await until(sink.begun.is_set)
    exchange.abort()
    before = list(sink.calls)
    await stand.until_serving(0)
    await until(lambda: stand.engine.open_connections == 0)
    assert sink.calls == before


async def test_an_error_answer_reaches_the_sink_with_its_status_headers_and_body(stand: Stand) -> None:
    await stand.behave("refuse")
    _, sink = ask(stand.engine)
    await ended(sink)
    assert (sink.status, sink.calls[-1]) == (429, "done")
    assert dict(sink.headers)[b"retry-after"] == b"1"
    assert "message" in json.loads(sink.body)["error"]


async def test_a_refused_connection_says_that_nothing_was_sent(stand: Stand) -> None:
    with nobody_home() as nowhere:
        base = "/v1" if stand.engine.kind == "openai" else ""
        dead = stand.build((Replica("dead", f"http://{nowhere.authority}{base}"),))
        _, sink = ask(dead)
        await ended(sink)
        assert (sink.calls, type(sink.error)) == (["failed"], ConnectFailed)
        assert dead.open_connections == 0
        assert bool(await dead.probe("dead")) is (dead.kind != "openai")  # a provider has no free endpoint to ask


@pytest.mark.parametrize(("behaviour", "stream"), [("hang", False), ("hang", True), ("prefill", True)])
async def test_a_server_without_a_body_byte_is_left_at_the_first_byte_deadline(
    stand: Stand, behaviour: str, stream: bool
) -> None:
    await stand.behave(behaviour)
    _, sink = ask(stand.engine, stream=stream, deadlines=replace(PATIENT, first_byte_s=0.05))
    await ended(sink)
    assert (sink.body, type(sink.error)) == (b"", FirstByteTimeout)
    await stand.until_serving(0)
    assert stand.engine.open_connections == 0


async def test_a_total_deadline_ends_a_stream_in_the_middle(stand: Stand) -> None:
    await stand.behave("slow")
    _, sink = ask(stand.engine, stream=True, deadlines=replace(PATIENT, total_s=0.3))
    await ended(sink)
    assert type(sink.error) is TotalTimeout
    await stand.until_serving(0)
    assert stand.engine.open_connections == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_cut_in_its_body_is_truncated_never_done(stand: Stand, stream: bool) -> None:
    await stand.behave("cut")
    _, sink = ask(stand.engine, stream=stream)
    await ended(sink)
    assert (sink.status, sink.calls[-1], type(sink.error)) == (200, "failed", AnswerTruncated)
    assert sink.body
    assert stand.engine.open_connections == 0


async def test_a_server_that_is_up_probes_well_and_no_probe_is_inference(stand: Stand) -> None:
    assert await stand.engine.probe(stand.engine.replicas[0].id) == ""
    assert await stand.asked() == []


async def test_closing_lets_a_call_in_flight_finish(stand: Stand) -> None:
    _, sink = ask(stand.engine, stream=True)
    await stand.engine.close()
    await ended(sink)
    assert (sink.status, sink.calls[-1]) == (200, "done")
    await until(lambda: stand.engine.open_connections == 0)


async def test_each_operation_it_claims_has_a_route_on_the_server(stand: Stand) -> None:
    base = "/v1" if stand.engine.kind == "openai" else ""
    for operation in sorted(stand.engine.operations, key=lambda each: each.value):
        sink = Recorder()
        stand.engine.send(stand.engine.replicas[0].id, Outgoing(operation.value, b"", b"{}"), PATIENT, sink)
        await ended(sink)
        assert sink.status in (200, 400), operation  # an empty request may be refused, but not as unknown
    if base:
        paths = sorted(operation.value for operation in stand.engine.operations)
        assert sorted(await stand.asked()) == paths


async def test_it_says_who_it_is(stand: Stand) -> None:
    assert (stand.engine.name, stand.engine.kind) == ("one", stand.settings.row)
    assert stand.engine.accepts_stream_options is True
    keys = [key for key in (stand.settings.api_key, *(stand.settings.api_keys or ())) if key]
    assert stand.engine.secrets == tuple(key.get_secret_value().encode() for key in keys)
