"""Who is asked before a release goes on, and who is told of what became of it: Flagger's eight kinds, over HTTP.

    asked, and anything but a 2xx answer holds      confirm-rollout, pre-rollout     before the first step
                                                    rollout                          before every other one
                                                    confirm-traffic-increase         before the share grows
                                                    confirm-promotion                before 100 %
    asked every 10 s, and a 2xx answer rolls back   rollback
    told, whatever the answer                       post-rollout                     at the end
                                                    event                            of every decision

No rollback waits for any of them. The body is Flagger's, with the release's own words beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import httpx
import structlog
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from engines.port import Spawn
from gateway.control.releases.spec import Hook

TRIES: Final = 4
FIRST_WAIT_S: Final = 0.5
MOST_WAIT_S: Final = 10.0
MOST_TELLING: Final = 64
"""Messages on their way; more are dropped, and the log says so."""

log = structlog.get_logger()


class Hooks(Protocol):
    """Those who are asked, or told."""

    async def ask(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> str:
        """Ask all of a kind; returns what stands against it, a sentence, or nothing."""

    async def any_says_yes(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> str:
        """Ask all of a kind; returns the address of one that agrees, or nothing."""

    def tell(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> None:
        """Tell all of a kind, in the background."""


class _Failed(Exception):
    """Try again."""


class Webhooks:
    """See the module."""

    def __init__(
        self,
        spawn: Spawn,
        client: Callable[[], httpx.AsyncClient] = httpx.AsyncClient,
        *,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        """`client` makes one, which is closed after use: hooks are rare."""
        self._spawn = spawn
        self._client = client
        self._first_wait_s = first_wait_s
        self._telling = 0

    async def ask(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> str:
        """See `Hooks`."""
        for hook in hooks:
            if hook.kind == kind:
                problem = await self._call(hook, facts)
                if problem:
                    return f"{kind}: {_shown(hook.url)} {problem}"
        return ""

    async def any_says_yes(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> str:
        """See `Hooks`."""
        for hook in hooks:
            if hook.kind == kind and not await self._call(hook, facts):
                return _shown(hook.url)
        return ""

    def tell(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> None:
        """See `Hooks`. Tried again some times, with growing pauses, where it is not taken."""
        for hook in hooks:
            if hook.kind != kind:
                continue
            if self._telling >= MOST_TELLING:
                log.error("webhook_dropped", kind=kind, url=_shown(hook.url), why="too many wait")
                continue
            self._telling += 1
            self._spawn("webhook", lambda hook=hook: self._told(hook, dict(facts)))  # type: ignore[misc]

    async def _told(self, hook: Hook, facts: Mapping[str, Any]) -> None:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=self._first_wait_s, max=MOST_WAIT_S),
            retry=retry_if_exception_type(_Failed),
        )
        try:
            async for attempt in retrying:
                with attempt:
                    problem = await self._call(hook, facts)
                    if problem:
                        raise _Failed(problem)
        except RetryError as error:
            why = error.last_attempt.exception()
            log.error("webhook_not_told", kind=hook.kind, url=_shown(hook.url), tries=TRIES, why=str(why))
        finally:
            self._telling -= 1

    async def _call(self, hook: Hook, facts: Mapping[str, Any]) -> str:
        """What went wrong; nothing after a 2xx."""
        body = {**facts, "metadata": {**hook.metadata, **facts.get("metadata", {})}}
        try:
            async with (
                asyncio.timeout(hook.timeout_s),
                self._client() as client,
                client.stream("POST", hook.url, json=body, timeout=hook.timeout_s) as answer,
            ):
                pass  # its body, which may be without an end, is not read
        except TimeoutError:
            return f"did not answer within {hook.timeout_s:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return f"could not be asked ({type(error).__name__})"
        return "" if answer.is_success else f"answered {answer.status_code}"


def _shown(url: str) -> str:
    """Without what may be a secret."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "(an address that is none)"
    return f"{parsed.scheme}://{parsed.host}{'' if parsed.port is None else f':{parsed.port}'}{parsed.path}"
