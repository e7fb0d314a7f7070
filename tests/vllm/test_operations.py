"""What a platform engineer sees with real vLLM behind the gateway: metrics, logs of the launched server, failover."""

from __future__ import annotations

import socket
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.vllm.stack import KEY, Gateway, metric, running_gateway, until

pytestmark = pytest.mark.vllm

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


def test_a_request_and_its_tokens_are_counted_once(client: openai.OpenAI, gateway_url: str) -> None:
    def counted() -> tuple[float, ...]:
        labels = {"model": "tiny", "engine": "local"}
        return (
            metric(gateway_url, "penstock_requests_total", **labels, code="200"),
            metric(gateway_url, "penstock_tokens_total", **labels, kind="input"),
            metric(gateway_url, "penstock_tokens_total", **labels, kind="output"),
            metric(gateway_url, "penstock_time_to_first_token_seconds_count", **labels),
        )

    before = counted()
    client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=7, extra_body={"ignore_eos": True})
    after = tuple(figure + more for figure, more in zip(before, (1, 5, 7, 0), strict=True))
    until(lambda: counted()[:3] == after[:3], 60, f"{after[:3]}, not {counted()[:3]}")
    with client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=7, stream=True, extra_body={"ignore_eos": True}
    ) as stream:
        list(stream)
    expected = (before[0] + 2, before[1] + 10, before[2] + 14)
    until(lambda: counted()[:3] == expected, 60, f"{expected}, not {counted()[:3]}")
    assert counted()[3] > before[3]


def test_nothing_is_in_flight_when_all_is_answered(gateway_url: str) -> None:
    until(lambda: metric(gateway_url, "penstock_in_flight", model="tiny") == 0, 60, "nothing in flight")


def test_the_log_of_a_launched_server_is_kept(gateway: Gateway, running_vllm_url: str) -> None:
    if running_vllm_url:
        pytest.skip("this session uses a server that was already running")
    (log,) = (gateway.data_dir / "logs").glob("*.log")
    assert "Application startup complete" in log.read_text()


def test_a_dead_replica_beside_a_live_one_is_never_noticed_by_a_client(tmp_path: Path, vllm_url: str) -> None:
    with socket.socket() as nobody:  # bound and not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        engine = {"kind": "vllm", "replicas": [{"url": dead}, {"url": vllm_url}]}
        with (
            running_gateway(tmp_path, engine, within_s=60) as gateway,
            openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client,
        ):
            answers = [client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=2) for _ in range(8)]
    assert [answer.object for answer in answers] == ["chat.completion"] * 8
