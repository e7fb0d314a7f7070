"""Keys are replaced while requests run, without a new snapshot."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.accounts.keys import (
    AT_ONCE,
    Key,
    gathering_keys,
    keyring_of,
    keys_of,
    making_keyring,
    packed_keys,
    packing_keys,
    unpacked_keys,
)
from gateway.fleet.steps import made_in_slices
from gateway.identity import Principal
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.settings.sealed import seal
from gateway.settings.sections.auth import ApiKey
from gateway.workers.exchange.messages import Configure, Keys
from gateway.workers.worker import Worker
from tests.scenario.gateway import KEY, one_model, running_gateway
from tests.scenario.upstream import DONE, WHOLE_STREAM, WORDS, plain, running_upstream, stream

NEW = "sk-new"


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
"""Without blanks at their ends, which are no part of a header's value."""


@hypothesis_settings(deadline=None)
@given(st.lists(st.tuples(KEYS, st.booleans(), st.integers(-5, 5)), unique_by=lambda k: k[0]))
def test_each_key_finds_its_own_principal_and_no_other(keys: list[tuple[str, bool, int]]) -> None:
    keyring = keyring_of(
        Key(hashed(key), str(at), "t", ["m"] if admin else None, admin, priority)
        for at, (key, admin, priority) in enumerate(keys)
    )
    assert keyring.is_open == (not keys)
    for at, (key, admin, priority) in enumerate(keys):
        found = keyring.find(None, key.encode())
        assert found is not None
        assert (found.key_id, found.admin, found.priority) == (str(at), admin, priority)
        assert [found.may_use(model) for model in ("m", "n")] == [True, not admin]


def test_keys_of_the_configuration_keep_what_is_written() -> None:
    text = (
        "auth:\n  keys:\n"
        f"  - {{id: a, sha256: {hashed('a')}}}\n  - {{id: b, sha256: {hashed('b')}, models: [m], admin: true}}\n"
        "engines: {e: {kind: openai, base_url: 'http://127.0.0.1:9/v1'}}\nmodels: {m: {targets: [{engine: e}]}}\n"
    )
    assert keys_of(load_settings(text, {}).settings) == [
        Key(hashed("a"), "a", "default", None, False, 0),
        Key(hashed("b"), "b", "default", ["m"], True, 0),
    ]


@pytest.mark.anyio
async def test_many_keys_are_told_and_made_a_keyring_of_a_few_at_a_time() -> None:
    keys = [{"id": f"k{at}", "sha256": hashed(f"k{at}"), "tenant": f"t{at // 600}"} for at in range(1_000)]
    tree = one_model("http://127.0.0.1:9") | {"auth": {"keys": keys}}
    settings = load_settings(json.dumps(tree), {}).settings
    told = await made_in_slices(gathering_keys(settings))
    assert told == keys_of(settings)
    assert len(list(gathering_keys(settings))) == len(list(making_keyring(told))) == 1_000 // AT_ONCE
    parts = await made_in_slices(packing_keys(settings))
    assert [len(list(unpacked_keys([part]))) for part in parts] == [AT_ONCE] * (1_000 // AT_ONCE) + [1_000 % AT_ONCE]
    assert len(list(packing_keys(settings))) == len(parts)
    assert list(unpacked_keys(parts)) == told
    keyring = await made_in_slices(making_keyring(unpacked_keys(parts), any_host=True))
    assert (keyring.several_tenants, keyring.any_host, keyring.is_open) == (True, True, False)
    assert not keyring_of(told[:600]).several_tenants
    for at in (0, 999):
        found = keyring.find(None, f"k{at}".encode())
        assert found is not None
        assert (found.key_id, found.tenant) == (f"k{at}", f"t{at // 600}")


@pytest.mark.anyio
async def test_new_keys_hold_from_the_next_request_on_and_what_runs_goes_on() -> None:
    gate = asyncio.Event()
    async with running_upstream(stream(WORDS[0], gate, *WHOLE_STREAM[1:])) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            running = asyncio.ensure_future(gateway.chat(stream=True))
            await upstream.request()
            serving = gateway.worker.dispatcher.snapshot.serving
            gateway.worker.peer.told(Keys([packed_keys([Key(hashed(NEW), "new", "testers", None, False, 0)])]))
            await gateway.until(lambda: gateway.worker.keyring.find(None, NEW.encode()))
            old = await gateway.http.get("/v1/models")
            new = await gateway.http.get("/v1/models", headers={"authorization": f"Bearer {NEW}"})
            assert gateway.worker.dispatcher.snapshot.serving is serving
            gate.set()
            answer = await running
            refused = await gateway.chat()
    assert (old.status_code, new.status_code, refused.status_code) == (401, 200, 401)
    assert "not known" in old.json()["error"]["message"]
    assert answer.content.endswith(DONE)


def held(key_id: str) -> list[object]:
    """What there is of a key in this process."""
    gc.collect()
    every = gc.get_objects()
    principals: list[object] = [one for one in every if isinstance(one, Principal) and one.key_id == key_id]
    return principals + [one for one in every if isinstance(one, ApiKey) and one.id == key_id]


@pytest.mark.anyio
async def test_of_keys_that_were_withdrawn_a_worker_keeps_nothing() -> None:
    gone = {"id": "withdrawn", "sha256": hashed("withdrawn"), "tenant": "testers"}
    config = one_model("http://127.0.0.1:9")
    supervisor = Supervisor()
    worker = Worker(supervisor)
    tree = config | {"auth": {"keys": [gone]}, "telemetry": {"access_log": "off"}}
    try:
        sealed = seal(load_settings(json.dumps(tree), {}))
        assert await worker.configure(Configure(sealed, 1, [])) == ""
        assert worker.keyring.find(None, b"withdrawn") is not None
        del sealed
        assert held("withdrawn")
        await worker.rekey(Keys([packed_keys([Key(hashed(NEW), "new", "testers", None, False, 0)])]))
        assert not held("withdrawn")
        await worker.rekey(Keys([], open=True))
        assert not held("new")
        assert (worker.keyring.is_open, worker.dispatcher.snapshot.keyring) == (True, worker.keyring)
        changed = seal(load_settings(json.dumps(tree | {"health": {"interval_s": 9}}), {}))
        assert await worker.configure(Configure(changed, 1, [])) == ""
        assert worker.keyring.find(None, b"withdrawn") is not None
        assert [key.id for key in worker.settings.auth.keys] == ["withdrawn"]
    finally:
        await supervisor.close()


@pytest.mark.anyio
async def test_the_first_page_asks_for_a_key_once_there_are_some() -> None:
    async with running_gateway(json.dumps(one_model("http://127.0.0.1:9", telemetry={"access_log": "off"}))) as gateway:
        before = (await gateway.http.get("/", headers={"accept": "text/html"})).text
        gateway.worker.peer.told(Keys([packed_keys([Key(hashed(KEY), "first", "testers", None, False, 0)])]))
        await gateway.until(lambda: not gateway.worker.keyring.is_open)
        after = (await gateway.http.get("/", headers={"accept": "text/html"})).text
    assert ("PENSTOCK_KEY" in before, "PENSTOCK_KEY" in after) == (False, True)


@pytest.mark.anyio
async def test_a_key_that_was_withdrawn_is_refused_on_a_connection_that_knows_its_head() -> None:
    async with running_upstream(plain()) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            asked = [await gateway.chat(max_tokens=tokens) for tokens in (1, 10, 100)]
            gateway.worker.peer.told(Keys([packed_keys([Key(hashed(NEW), "new", "testers", None, False, 0)])]))
            asked.append(await gateway.chat(max_tokens=1))
    assert [answer.status_code for answer in asked] == [200, 200, 200, 401]
    assert "not known" in asked[-1].json()["error"]["message"]


@pytest.mark.anyio
async def test_a_file_in_which_only_keys_are_new_builds_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("keys") / "penstock.yaml"
    text = (
        "server: {port: 0}\ntelemetry: {access_log: off}\n"
        "auth: {keys: [{id: a, sha256: HASH}]}\n"
        "engines: {e: {kind: openai, base_url: 'http://127.0.0.1:9/v1'}}\nmodels: {m: {targets: [{engine: e}]}}\n"
    )
    file.write_text(text.replace("HASH", hashed(KEY)))
    async with running_gateway(file) as gateway:
        serving = gateway.worker.dispatcher.snapshot.serving
        file.write_text(text.replace("HASH", hashed(NEW)))
        assert await gateway.plane.reload()
        answers = [
            (await gateway.http.get("/v1/models", headers={"authorization": f"Bearer {key}"})).status_code
            for key in (KEY, NEW)
        ]
        kept = gateway.worker.dispatcher.snapshot.serving is serving
        assert gateway.plane.keyring.find(None, NEW.encode()) is not None
    assert (answers, kept) == ([401, 200], True)
