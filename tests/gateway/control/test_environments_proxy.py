"""A proxy that nobody wrote into the configuration: told once per engine, refused where it would be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.control.engines import Engines
from gateway.control.roster import Roster
from gateway.settings import Settings, load_settings

pytestmark = pytest.mark.anyio


def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    raise AssertionError(f"{name} was started, and nobody calls an engine here")


def engines(**environ: str) -> Engines:
    return Engines(spawn, Roster(lambda members: None), environ)


def settings(**proxies: str | None) -> Settings:
    """Engines by name, each with the proxy that is written of it."""
    made = {
        name: {"kind": "anthropic", "api_key": "k", "base_url": "https://api.example.com"}
        | ({"proxy": proxy} if proxy else {})
        for name, proxy in proxies.items()
    }
    models = {"m": {"targets": [{"engine": name, "model": "x"} for name in made]}}
    return load_settings(json.dumps({"engines": made, "models": models}), {}).settings


async def test_it_is_told_once_of_each_engine_that_goes_by_it(quiet: list[Any]) -> None:
    some = engines(HTTPS_PROXY="http://me:secret@p:3128")
    await some.check(settings(a=None, b="direct", c=None, d="http://q:1"))
    for _ in range(2):
        await some.use(settings(a=None, b="direct", c=None, d="http://q:1"))
    told = [(line["engine"], line["variable"]) for line in quiet if line["event"] == "proxy_of_environment"]
    assert told == [("a", "HTTPS_PROXY"), ("c", "HTTPS_PROXY")]
    assert "secret" not in str(quiet)


@pytest.mark.parametrize("proxy", ["direct", "http://q:1"])
async def test_one_that_cannot_be_used_is_refused_only_where_it_would_be(proxy: str) -> None:
    some = engines(https_proxy="socks5h://me:secret@p")
    await some.check(settings(a=proxy))
    with pytest.raises(
        ValueError, match=r"^engine b: https_proxy of the environment names a proxy by socks5h://"
    ) as no:
        await some.check(settings(a=proxy, b=None))
    assert "secret" not in str(no.value)
