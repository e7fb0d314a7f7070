"""Access tokens of hosted engines: fetched ahead of time, told to every worker.

Each engine that is asked with tokens (`EngineSection.token_source`) has a keeper. It fetches one, in a thread, tells
the workers, and rests until a fifth of its life is left, at least five minutes where it lasts so long. A fetch that
fails is tried again, at growing intervals, while the token before it is in use; the log says so once, and the metric
shows how much time is left.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Final

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from engines.port import Spawn
from engines.providers.tokens import Token, TokenRefused, TokenSource
from gateway.process.pause import Pause, pause
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.replicas import ACCESS_TOKEN_SECONDS
from gateway.workers.exchange.messages import AccessToken, ToWorker

AHEAD_S: Final = 300.0
FIRST_WAIT_S: Final = 0.5
MOST_WAIT_S: Final = 30.0

log = structlog.get_logger()


def rest_s(lasts_s: float) -> float:
    """How long a new token is used before the next is fetched."""
    return max(lasts_s - max(AHEAD_S, 0.2 * lasts_s), 0.5 * lasts_s)


class Tokens:
    """See the module."""

    def __init__(
        self, spawn: Spawn, tell: Callable[[ToWorker], None], metrics: Metrics, *, pause: Pause = pause
    ) -> None:
        """`tell` sends a message to every worker."""
        self._spawn = spawn
        self._tell = tell
        self._pause = pause
        self._keepers: dict[str, tuple[TokenSource, asyncio.Event]] = {}
        """By engine; the event ends one."""
        self._known: dict[str, AccessToken] = {}
        self._ends_s: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        metrics.watch(ACCESS_TOKEN_SECONDS, self.left_s)

    def use(self, settings: Settings) -> None:
        """Keep tokens for the engines of these settings. Does not wait for any."""
        wanted = {name: source for name, one in settings.engines.items() if (source := one.token_source) is not None}
        for name in [one for one, (source, _) in self._keepers.items() if wanted.get(one) != source]:
            self._keepers.pop(name)[1].set()
            self._known.pop(name, None)
            self._ends_s.pop(name, None)
        for name, source in wanted.items():
            if name not in self._keepers:
                over = asyncio.Event()
                self._keepers[name] = source, over
                self._spawn(f"token of {name}", functools.partial(self._keep, name, source, over))

    def known(self) -> tuple[AccessToken, ...]:
        """Those in use, for a worker that has none yet."""
        return tuple(self._known.values())

    def left_s(self) -> list[tuple[tuple[str], float]]:
        """How long each engine's token is good for, by its name; 0 where there is none."""
        now = self._loop.time()
        return [((name,), max(self._ends_s.get(name, now) - now, 0.0)) for name in self._keepers]

    async def _keep(self, name: str, source: TokenSource, over: asyncio.Event) -> None:
        failing = ""

        def refused(state: RetryCallState) -> None:
            nonlocal failing
            error = state.outcome.exception() if state.outcome is not None else None
            if str(error) != failing:
                failing = str(error)
                log.error("access_token_refused", engine=name, why=failing)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TokenRefused),
            wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=MOST_WAIT_S),
            stop=lambda _state: over.is_set(),
            before_sleep=refused,
            sleep=lambda seconds: self._pause(seconds, over),
            reraise=True,
        )
        while not over.is_set():
            try:
                token: Token = await retrying(_fetch, source)
            except TokenRefused:
                return  # it is wanted no more
            if over.is_set():
                return
            self._got(name, token, recovered=bool(failing))
            failing = ""
            await self._pause(rest_s(token.lasts_s), over)

    def _got(self, name: str, token: Token, *, recovered: bool) -> None:
        self._known[name] = AccessToken(name, token.value)
        self._ends_s[name] = self._loop.time() + token.lasts_s
        self._tell(self._known[name])
        if recovered:
            log.info("access_token_renewed", engine=name)


async def _fetch(source: TokenSource) -> Token:
    """Raises TokenRefused for whatever goes wrong: a keeper that ends leaves its engine without a token for good."""
    try:
        return await asyncio.to_thread(source.fetch)
    except TokenRefused:
        raise
    except Exception as error:  # its words may hold anything
        raise TokenRefused(f"{type(error).__name__} while it was fetched") from error
