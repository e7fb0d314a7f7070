"""A fake provider as an ASGI application: the order in which a real one looks at a request.

Key, path, limits, body, then the script, if one is asked for. `GET /fake/requests` lists what was asked of it, so that
a test can see what was sent; those two words are no provider's path.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from engines.fakes.asked import Asked
from engines.fakes.call import Call, HeaderList, Receive, Send
from engines.fakes.frames import Cut, Stall, scripted
from engines.fakes.limits import Limits
from engines.fakes.problems import Kind, Problem, invalid, undecodable
from engines.fakes.provider import Chat, Plain, Provider
from engines.fakes.scripts import HEADER, Script, refuse, script_of
from engines.fakes.story import Counts, plan, tokens

KEPT_REQUESTS: Final = 1000
KEPT_PREFIXES: Final = 10_000
CACHED_FROM_TOKENS: Final = 16
"""A shorter beginning is not kept. Real ones keep from 1,024; a test need not send so much."""


class FakeApp:
    """See the module. `keys` empty lets any key in."""

    def __init__(self, provider: Provider, limits: Limits, keys: frozenset[str] = frozenset()) -> None:
        self._provider = provider
        self._limits = limits
        self._keys = keys
        self._seen: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        self._prefixes: set[int] = set()
        self._answers = 0

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        self._answers += 1
        number = self._answers
        try:
            await call.read()
            if call.path == "/fake/requests":
                await call.json(200, list(self._seen), [])
                return
            noted = self._note(call)
            await self._serve(call, number, noted)
        except Problem as problem:
            await self._refuse(call, problem, number)
        except (msgspec.DecodeError, UnicodeError) as error:
            await self._refuse(call, undecodable(error), number)
        except RecursionError:
            await self._refuse(call, invalid("The request is nested too deeply."), number)
        except ConnectionError:
            return

    async def _serve(self, call: Call, number: int, noted: dict[str, Any]) -> None:
        key = self._provider.key(call)
        if self._keys and key not in self._keys:
            raise Problem(Kind.UNAUTHENTICATED, "The key is not valid.")
        endpoint = self._provider.route(call)
        prompt_tokens = len(call.body) // 4 + 1
        free = call.method == "GET"
        now = asyncio.get_running_loop().time()
        within, left = self._limits.take(key, 0 if free else prompt_tokens, now, 0 if free else 1)
        headers = self._provider.headers(number, left)
        if not within:
            raise Problem(Kind.RATE_LIMITED, "The limit of this minute is used up.", retry_after_s=left.reset_s)
        named = call.headers.get(HEADER, b"").decode("latin-1")
        if isinstance(endpoint, Plain):
            model, value = endpoint.answer(call)
            refuse(script_of(named, model))
            await call.json(200, value, headers)
            return
        asked = endpoint.read(call)
        script = script_of(named, asked.model)
        if not (endpoint.answers_blocked and script is Script.BLOCKED):
            refuse(script)
        story = plan(asked, self._counts(asked, prompt_tokens), script, number)
        if asked.stream:
            frames = endpoint.form.frames(asked, story, number)
            await self._stream(call, endpoint, scripted(endpoint.form, frames, script), headers, noted)
        elif script is Script.STALLED:
            await self._stall(call, noted)
        else:
            body = msgspec.json.encode(endpoint.form.plain(asked, story, number))
            await self._whole(call, body, headers, cut=script is Script.TRUNCATED)

    async def _stream(
        self, call: Call, endpoint: Chat, events: Any, headers: HeaderList, noted: dict[str, Any]
    ) -> None:
        await call.start(200, [(b"content-type", endpoint.form.stream_type), *headers])
        try:
            for event in events:
                await call.more(event)
        except Cut:
            await call.cut()
            return
        except Stall:
            await self._stall(call, noted)
            return
        await call.end()

    async def _stall(self, call: Call, noted: dict[str, Any]) -> None:
        await call.closed()
        noted["left"] = True

    async def _whole(self, call: Call, body: bytes, headers: HeaderList, *, cut: bool) -> None:
        if not cut:
            await call.answer(200, body, [(b"content-type", b"application/json"), *headers])
            return
        length = (b"content-length", b"%d" % len(body))
        await call.start(200, [length, (b"content-type", b"application/json"), *headers])
        await call.more(body[: len(body) // 2])
        await call.cut()

    def _counts(self, asked: Asked, prompt_tokens: int) -> Counts:
        counts = Counts(prompt_tokens, 0)
        size = min(len(tokens(asked.cacheable)), prompt_tokens)
        if size < CACHED_FROM_TOKENS:
            return counts
        prefix = hash((asked.model, asked.cacheable))
        if prefix in self._prefixes:
            return replace(counts, cached=size)
        if len(self._prefixes) >= KEPT_PREFIXES:
            self._prefixes.clear()
        self._prefixes.add(prefix)
        return replace(counts, cache_written=size)

    async def _refuse(self, call: Call, problem: Problem, number: int) -> None:
        refusal = self._provider.refusal(problem, number)
        headers = list(refusal.headers)
        if problem.kind is Kind.TOO_LARGE:
            headers.append((b"connection", b"close"))
        await call.json(refusal.status, refusal.body, headers)

    def _note(self, call: Call) -> dict[str, Any]:
        try:
            body = msgspec.json.decode(call.body) if call.body else None
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            body = None
        names = sorted(name.decode("latin-1") for name in call.headers)
        # Values of headers hold keys: they are not kept.
        noted = {
            "method": call.method,
            "path": call.raw_path,
            "query": call.raw_query,
            "header_names": names,
            "body": body,
            "left": False,
        }
        self._seen.append(noted)
        return noted
