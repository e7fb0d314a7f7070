"""A gateway without descriptors holds nothing against a replica that it could not ask to load an adapter."""

from __future__ import annotations

import pytest

from engines import adapters
from engines.errors import OutOfSockets
from gateway.control.asking.adapters import NOT_LOADED, SHORT
from gateway.refusing import shortage
from tests.scenario.test_adapters import by, serving

pytestmark = pytest.mark.anyio


async def test_it_is_said_so_and_the_next_request_is_tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    load = adapters.load

    async def short(*_: object) -> None:
        raise OutOfSockets("the gateway can open no more connections: too many open files")

    monkeypatch.setattr(shortage, "tell", lambda now, why, counted_as: told.append(counted_as))
    async with serving((), load=True) as (servers, gateway):
        monkeypatch.setattr(adapters, "load", short)
        answer = await gateway.chat("sql")
        assert (503, "adapter_not_loaded") == (answer.status_code, answer.json()["error"]["code"])
        assert SHORT in answer.json()["error"]["message"]
        assert told == [NOT_LOADED]
        monkeypatch.setattr(adapters, "load", load)
        assert "a" == by(await gateway.chat("sql"))
        assert [("load", "sql")] == servers[0].asked
