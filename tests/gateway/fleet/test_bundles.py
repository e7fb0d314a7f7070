"""A bundle changes with what is served, and with nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.fleet.bundles import DIGITS, bundles_of
from gateway.fleet.snapshot import UNNAMED
from gateway.settings import load_settings
from tests.gateway.fleet.fleets import Fleets

BASE: dict[str, Any] = {
    "engines": {
        "llama": {"kind": "vllm", "replicas": [{"url": "http://a.test:8000"}]},
        "own": {"kind": "vllm", "launch": {"model": "x", "args": ["--max-model-len", "8192"]}},
        "hosted": {"kind": "openai", "api_key": "k"},
    },
    "models": {
        "chat": {"targets": [{"engine": "llama", "model": "l"}, {"engine": "own", "model": "l"}]},
        "other": {"targets": [{"engine": "hosted", "model": "gpt-5-mini"}]},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The base with another value at a place."""
    document = json.loads(json.dumps(BASE))
    place = document
    *way, last = path.split(".")
    for name in way:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[last] = value
    return dict(document)


def bundles(document: dict[str, Any]) -> Any:
    return bundles_of(load_settings(json.dumps(document), {}).settings)


def test_each_model_has_one_and_they_differ() -> None:
    found = bundles(BASE)
    assert found.keys() == {"chat", "other"}
    assert {len(bundle) for bundle in found.values()} == {DIGITS}
    assert found["chat"] != found["other"]


def test_it_hangs_on_what_is_said_and_not_on_how_it_is_written() -> None:
    turned = {name: dict(reversed(BASE[name].items())) for name in reversed(BASE)}
    assert bundles(turned) == bundles(BASE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models.chat.targets.0.model", "l2"),
        ("models.chat.targets.1.weight", 2),
        ("models.chat.policy", {"name": "prefix"}),
        ("models.chat.hedging", {"enabled": True}),
        ("engines.own.launch.model", "y"),
        ("engines.own.launch.args", ["--max-model-len", "4096"]),
        ("engines.llama.continuous_usage", True),
    ],
)
def test_it_changes_with_what_is_served_and_only_of_that_model(path: str, value: Any) -> None:
    found, before = bundles(changed(path, value)), bundles(BASE)
    assert found["chat"] != before["chat"]
    assert found["other"] == before["other"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("engines.llama.replicas", [{"url": "http://b.test:8000"}, {"url": "http://c.test:8000"}]),
        ("engines.llama.gpu_usd_per_hour", 3),
        ("engines.llama.timeouts", {"idle_s": 5}),
        ("engines.own.launch.replicas", 3),
        ("engines.hosted.api_key", "another"),
        ("models.chat.records", {"content": True}),
        ("prices", {"l": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2}}),
        ("server.port", 1234),
    ],
)
def test_where_how_often_and_at_what_price_is_no_part_of_it(path: str, value: Any) -> None:
    assert bundles(changed(path, value)) == bundles(BASE)


@pytest.mark.anyio
async def test_records_say_it_and_a_reload_that_changes_only_it_keeps_the_route() -> None:
    fleets = Fleets()
    fleets.configure(json.dumps(BASE))
    before = fleets.snapshot.serving["chat", UNNAMED]
    (endpoint, *_) = before.route.endpoints()
    assert before.upstreams[endpoint].bundle == bundles(BASE)["chat"]
    document = changed("engines.own.launch.args", [])
    fleets.configure(json.dumps(document))
    after = fleets.snapshot.serving["chat", UNNAMED]
    assert after.route is before.route
    assert after.upstreams[endpoint].bundle == bundles(document)["chat"] != bundles(BASE)["chat"]


@pytest.mark.anyio
async def test_content_is_switched_on_and_off_by_a_reload() -> None:
    fleets = Fleets()
    fleets.configure(json.dumps(BASE))
    kept = []
    for records in ({"text_share": 0}, {"content": True, "redact": "a:b", "content_bytes": 2048}, {}):
        fleets.configure(json.dumps(changed("models.chat.records", records)))
        serving = fleets.snapshot.serving["chat", UNNAMED]
        (endpoint, *_) = serving.route.endpoints()
        kept.append(serving.upstreams[endpoint].transcripts)
    assert kept[0] is None
    assert kept[1] is not None
    assert (kept[1].most_bytes, kept[1].redact, kept[1].held) == (2048, "a:b", fleets.live.held)
    assert (kept[1].keeps, kept[1].samples, kept[1].text_share) == (True, False, 0.01)
    assert kept[2] is not None
    assert (kept[2].keeps, kept[2].samples, kept[2].text_share) == (False, True, 0.01)
