"""A server that keeps what it is sent and refuses it: all that is wanted of an SDK is what it sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engines.fakes.call import Call, Receive, Send


class Silence(Exception):
    """Nothing was sent."""


@dataclass
class Ear:
    """An ASGI application."""

    url: str = ""
    requests: list[tuple[str, Any]] = field(default_factory=list)
    """The path with its query, and the body, of each."""

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        await call.read()
        target = f"{call.raw_path}?{call.raw_query}" if call.raw_query else call.raw_path
        self.requests.append((target, msgspec.json.decode(call.body)))
        await call.json(400, {"message": "heard", "error": {"message": "heard", "code": 400, "status": "HEARD"}}, [])

    def hear(self, say: Callable[[], object]) -> tuple[str, Any]:
        """The one request that `say` sends. Raises Silence."""
        self.requests.clear()
        try:
            say()
        except Exception as refusal:  # in each SDK's own class
            if not self.requests:
                raise Silence(str(refusal)) from refusal
        if not self.requests:
            raise Silence
        (request,) = self.requests
        return request
