"""A configuration that travels as data is the same configuration, made again in small steps."""

from __future__ import annotations

import asyncio
import gc
import json
import pathlib
from itertools import pairwise
from weakref import ref

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fleet.steps import letting_go
from gateway.settings import Loaded, load_settings
from gateway.settings.sealed import Opening, Part, Sealed, leaving, opened, seal

EXAMPLE = pathlib.Path("configs/example.yaml").read_text()
TARGETS = {"targets": [{"engine": "e"}]}
SMALL = """
auth: {keys: [{id: a, sha256: HASH}]}
engines: {e: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: "${KEY}"}}
models: {m: {targets: [{engine: e}]}}
prices: {m: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
""".replace("HASH", "ab" * 32)


def load(text: str, **environ: str) -> Loaded:
    return load_settings(text, {"KEY": "secret", **environ})


def again(loaded: Loaded) -> Loaded:
    return asyncio.run(opened(seal(loaded)))


def same(one: Loaded, other: Loaded) -> bool:
    return (one.settings.model_dump(), one.notices, one.digest) == (
        other.settings.model_dump(),
        other.notices,
        other.digest,
    )


def test_the_example_is_the_same_again() -> None:
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AI21_API_KEY", "HF_TOKEN", "OTLP_TOKEN")
    loaded = load(EXAMPLE, **dict.fromkeys(names, "value"))
    assert same(again(loaded), loaded)


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), st.integers(1, 40), min_size=1, max_size=6),
    st.sampled_from(["", "retry: {max_attempts: 2}", "health: {interval_s: 9}", "limits: {body_bytes: 1 MiB}"]),
)
def test_whatever_is_written_is_the_same_again(engines: dict[str, int], more: str) -> None:
    text = f"{more}\nengines:\n"
    for name, replicas in engines.items():
        urls = ", ".join(f"{{url: 'http://10.0.0.{at}:80'}}" for at in range(replicas))
        text += f"  {name}: {{kind: vllm, replicas: [{urls}]}}\n"
    text += "models:\n" + "".join(f"  m-{name}: {{targets: [{{engine: {name}}}]}}\n" for name in engines)
    loaded = load(text)
    assert same(again(loaded), loaded)
    assert list(again(loaded).settings.engines) == list(engines)


def test_references_travel_as_their_values() -> None:
    key = again(load(SMALL)).settings.engines["e"].api_key
    assert key is not None
    assert key.get_secret_value() == "secret"


@pytest.mark.parametrize(
    ("changed", "only_auth"),
    [
        (SMALL, True),
        (SMALL.replace("ab" * 32, "cd" * 32), True),
        (SMALL.replace("id: a", "id: b, admin: true"), True),
        (SMALL.replace("models: {m:", "models: {n:"), False),
        (SMALL.replace("input_usd_per_mtok: 1", "input_usd_per_mtok: 3"), False),
        (SMALL + "retry: {max_attempts: 2}\n", False),
    ],
)
def test_what_differs_is_known_without_looking_at_every_replica(changed: str, only_auth: bool) -> None:
    assert seal(load(changed)).differs_only_in(seal(load(SMALL)), "auth") is only_auth


def test_another_secret_is_another_configuration() -> None:
    assert not seal(load(SMALL, KEY="other")).differs_only_in(seal(load(SMALL)), "auth")


def test_a_step_is_one_engine_or_model() -> None:
    text = "engines:\n" + "".join(f"  e{at}: {{kind: simulator}}\n" for at in range(20)) + "models:\n"
    text += "".join(f"  m{at}: {{targets: [{{engine: e{at}}}]}}\n" for at in range(20))
    opening = Opening(seal(load(text)))
    assert len(list(opening.steps())) == 41  # and one for the rest
    assert same(opening.loaded, load(text))


def test_the_collector_looks_at_no_part() -> None:
    assert not any(gc.is_tracked(part) for part in seal(load(EXAMPLE)).parts)


def test_what_is_the_same_as_before_is_the_same_object() -> None:
    old = load(SMALL)
    new = seal(load(SMALL.replace("models: {m:", "models: {n:")))
    opened_again = asyncio.run(opened(new, (seal(old), old.settings))).settings
    assert opened_again.engines["e"] is old.settings.engines["e"]
    assert opened_again.prices["m"] is old.settings.prices["m"]
    assert list(opened_again.models) == ["n"]


def test_a_part_that_was_tampered_with_is_refused() -> None:
    sealed = seal(load(SMALL))
    bad = Sealed([Part("engines", "e", b"\x81\xa4kind\xa5other"), *sealed.parts[1:]], [], "x", "")
    with pytest.raises(ValueError, match="kind"):
        asyncio.run(opened(bad))


def test_a_long_list_of_replicas_is_made_a_few_at_a_time_and_whole() -> None:
    urls = [{"url": f"http://10.0.0.{at}:80"} for at in range(40)]
    loaded = load(json.dumps({"engines": {"e": {"kind": "vllm", "replicas": urls}}, "models": {"m": TARGETS}}))
    opening = Opening(seal(loaded))
    assert len(list(opening.steps())) == 3 + 3  # 16, 16 and 8 replicas; the engine, the model, the rest
    assert same(opening.loaded, loaded)
    assert opening.loaded.settings.engines["e"] == loaded.settings.engines["e"]


def test_many_keys_are_made_a_few_at_a_time_and_whole() -> None:
    keys = [{"id": f"k{at}", "sha256": f"{at:064x}"} for at in range(100)]
    loaded = load(
        json.dumps(
            {
                "auth": {"keys": keys},
                "engines": {"e": {"kind": "vllm", "replicas": [{"url": "http://h:1"}]}},
                "models": {"m": {"targets": [{"engine": "e", "model": "x"}]}},
            }
        )
    )
    opening = Opening(seal(loaded))
    assert len(list(opening.steps())) >= 100 // 16
    assert opening.loaded.settings.auth == loaded.settings.auth
    assert opening.loaded.settings == loaded.settings


@pytest.mark.parametrize("auth", [{}, {"open": True}, {"keys": []}, {"open": True, "keys": None}])
def test_a_section_without_keys_is_the_same_again(auth: dict[str, object]) -> None:
    data = {"engines": {"e": {"kind": "vllm", "replicas": [{"url": "http://h:1"}]}}, "models": {"m": TARGETS}}
    if "keys" in auth and auth["keys"] is None:
        sealed = seal(load(json.dumps(data)))
        parts = [part for part in sealed.parts if part.section != "auth"]
        with pytest.raises(ValueError, match="keys"):  # the schema takes a list
            asyncio.run(
                opened(msgspec.structs.replace(sealed, parts=[*parts, Part("auth", "", msgspec.msgpack.encode(auth))]))
            )
        return
    loaded = load(json.dumps(data | {"auth": auth}))
    assert same(again(loaded), loaded)


def test_what_is_out_of_use_is_let_go_of_a_few_at_a_time() -> None:
    keys = [{"id": f"k{at}", "sha256": f"{at:064x}"} for at in range(100)]
    loaded = load(json.dumps(yaml.safe_load(SMALL) | {"auth": {"keys": keys}}))
    parts = leaving(loaded.settings)
    there = [ref(part) for part in parts]
    del loaded

    def alive() -> int:
        return sum(part() is not None for part in there)

    counts = [alive(), *(alive() for _ in letting_go(parts))]
    assert (counts[0], counts[-1]) == (102, 0)
    assert max(before - after for before, after in pairwise(counts)) == 8
