"""The comparison with peers: what is started, and what the table says of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.client.record import Record
from loadtests.peers import fleets
from loadtests.peers.__main__ import parse_options
from loadtests.peers.environments import PeerError
from loadtests.peers.rounds import grown
from loadtests.peers.table import PeerRound, PeerRow, figures, table
from loadtests.peers.traffic import capacity, cold
from loadtests.statistics.columns import columns
from loadtests.statistics.slo import Slo
from tests.loadtests.statistics.made import answered, failed

SLO = Slo(ttft_s=0.05)
REPLICAS = ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def one_round(records: list[Record], cpu_s: float = 0.1, served: tuple[int, ...] = (30, 10)) -> PeerRound:
    return PeerRound(columns(records), 2.0, len(records), cpu_s, hit_tokens=30, queried_tokens=40, served=served)


def test_rounds_are_put_together_by_their_requests() -> None:
    fast = one_round([answered(n, ttft_ms=10) for n in range(90)])
    slow = one_round([answered(n, ttft_ms=100) for n in range(10)], cpu_s=0.3)
    found = figures(PeerRow("x", [fast, slow]), SLO)
    assert (10.0, 100.0, 1.0) == (found["ttft_p50_ms"], found["ttft_p99_ms"], found["tpot_p50_ms"])
    assert (0.75, 0.9, 90 / 4.0) == (found["hit_ratio"], found["attainment"], found["goodput_per_s"])
    assert pytest.approx([4000.0, 1.5]) == [found["cpu_us"], found["spread"]]


def test_failures_are_not_good_and_have_no_latency() -> None:
    found = figures(PeerRow("x", [one_round([answered(0), failed(1), failed(2), failed(3)])]), SLO)
    assert (0.25, 10.0) == (found["attainment"], found["ttft_p99_ms"])


def test_a_gateway_that_could_not_be_had_keeps_its_row_and_says_why() -> None:
    text = table([PeerRow("a", [one_round([answered(0)])]), PeerRow("b", problems=["no network"])], SLO)
    lines = text.splitlines()
    assert ["gateway", "a", "b", "INVALID"] == [line.split()[0] for line in lines]
    assert "INVALID b: no network" == lines[-1]
    assert {"-"} == set(lines[2].split()[1:])


def test_each_product_gets_its_replicas_and_its_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "ensure", lambda name: tmp_path / name)
    router = fleets.fleet_command("vllm-router:cache_aware", 9, REPLICAS, tmp_path).argv
    assert REPLICAS == router[router.index("--worker-urls") + 1 :][:2]
    assert "cache_aware" == router[router.index("--policy") + 1]
    assert "--policy" not in fleets.fleet_command("sglang-router", 9, REPLICAS, tmp_path).argv
    fleets.fleet_command("litellm:least-busy", 9, REPLICAS, tmp_path)
    written = json.loads((tmp_path / "litellm.yaml").read_text())
    assert [f"{url}/v1" for url in REPLICAS] == [one["litellm_params"]["api_base"] for one in written["model_list"]]
    assert {"routing_strategy": "least-busy"} == written["router_settings"]
    with pytest.raises(PeerError, match="no gateway is called nginx"):
        fleets.fleet_command("nginx", 9, REPLICAS, tmp_path)


def test_penstock_is_configured_with_a_policy_only_when_one_is_named(tmp_path: Path) -> None:
    plain, named = (fleets.penstock_config(REPLICAS, tmp_path, policy) for policy in ("", "round_robin"))
    assert "policy" not in json.dumps(plain)
    assert '"policy": {"name": "round_robin"}' in json.dumps(named)


def test_counters_are_those_of_the_round() -> None:
    before: list[dict[str, float | None]] = [{"a": 5.0}, {"a": 1.0}]
    after: list[dict[str, float | None]] = [{"a": 9.0, "b": 1.0}, {"a": 1.0}]
    assert (4.0, 1.0, 0.0) == (grown(before, after, "a"), grown(before, after, "b"), grown(before, after, "c"))


def test_the_capacity_is_where_nine_of_ten_are_still_good() -> None:
    assert capacity([]) is None
    assert capacity([(20.0, 0.5)]) == 0.0
    assert capacity([(20.0, 1.0), (30.0, 0.95)]) == 30.0
    assert capacity([(20.0, 1.0), (30.0, 0.8)]) == pytest.approx(25.0)
    row = PeerRow("x", [one_round([answered(0)])], tried=[(20.0, 1.0), (30.0, 0.8)])
    assert "25.0" in table([row], SLO).splitlines()[1].split()


def test_no_cache_can_have_what_nobody_asked_for_before() -> None:
    records = [answered(number) for number in range(6)]
    for at, (record, group) in enumerate(zip(records, (3, 1, 3, 2, 1, -1), strict=True)):
        record.prefix_group, record.ti = group, 10 + at
    assert [3, 1, 0] == [cold(records, records[at].ti) for at in (0, 3, 4)]
    assert cold([answered(0)], 0) is None
    warm = PeerRound(columns(records), 2.0, 6, 0.1, 30, 40, cold=2)
    assert figures(PeerRow("x", [warm]), SLO)["ceiling"] == pytest.approx(4 / 6)
    assert "ceiling: 66.7%" in table([PeerRow("x", [warm])], SLO)


def test_a_kind_of_traffic_brings_its_replicas_and_what_is_given_outdoes_it() -> None:
    options = parse_options(["--traffic", "system-prompts", "--rate", "50"])
    assert (50.0, "ttft=500ms", 11_852, 2222) == (
        options.rate,
        options.slo,
        options.prefill_tokens_per_s,
        options.cache_blocks,
    )
    assert (60.0, 30.0, False) == (options.duration, options.warm_up, options.capacity)


def test_the_defaults_name_every_peer() -> None:
    names = {name.partition(":")[0] for name in parse_options([]).gateways.split(",")}
    assert {"penstock", "vllm-router", "sglang-router", "litellm"} == names
