"""When one that was refused may come again: by what waits, by how fast that has lately gone, and by what the others
that were refused have been told."""

from __future__ import annotations

from typing import Final

from routing.replicas.ewma import Ewma

LEAST_RETRY_S: Final = 1.0
MOST_RETRY_S: Final = 60.0
"""The SDKs of OpenAI and Anthropic wait as they are told up to this, and by their own rule, which is shorter, if they
are told more."""
STALLED: Final = 4.0
"""Times as long as the next one should take to go: for so long nothing may go before the rate is taken for less."""
_RATE_DECAY_S: Final = 30.0
_TOLD_KEPT: Final = 4096


class Returns:
    """How fast a line moves, and when it has told whom to come again. Owned by one thread."""

    __slots__ = ("_began_s", "_due_s", "_last_s", "_rate")

    def __init__(self) -> None:
        self._rate = Ewma(0.0, _RATE_DECAY_S, seed_weight=1e-9)
        """Tokens a second that left the line while it was one."""
        self._began_s = self._last_s = 0.0
        self._due_s: dict[str, float] = {}
        """By tenant: when the last of its refused should come again."""

    @property
    def tokens_per_s(self) -> float:
        """As measured; 0 while nothing has left."""
        return self._rate.value

    def began(self, now: float) -> None:
        """Somebody waits, and nobody has before."""
        self._began_s = self._last_s = now

    def left(self, tokens: int, now: float) -> None:
        """So many have gone."""
        took_s = now - self._last_s
        self._last_s = now
        if took_s > 0.0:
            self._rate.add(tokens / took_s, now, weight=took_s)

    def wait_s(self, ahead: float, tokens: int, now: float, running_per_s: float) -> float:
        """How long it takes until `ahead` tokens have gone.

        `running_per_s`: tokens a second that those that run should leave, which counts until something has left; 0:
        nobody knows, so it takes as long again as it has taken so far. While nothing goes, the rate becomes less.
        """
        rate = self._rate.value
        weight_s = self._rate.weight_at(now)
        if rate <= 0.0:
            rate, weight_s = running_per_s, 0.0
            if rate <= 0.0:
                return now - self._began_s
        weight_s = max(weight_s, STALLED * tokens / rate)
        return ahead / rate * (1.0 + (now - self._last_s) / weight_s)

    def again_s(
        self, tenant: str, ahead: float, tokens: int, sharers: int, most_s: float, now: float, running_per_s: float
    ) -> float:
        """In how many seconds one of so many tokens should come again: when what is ahead of it has gone, and those of
        its tenant that were told so before it, one after the other. `sharers` tenants share what goes."""
        wait_s = self.wait_s(ahead, tokens, now, running_per_s)
        one_s = self.wait_s(float(tokens * max(1, sharers)), tokens, now, running_per_s)
        return self.after_s(tenant, wait_s, one_s, most_s, now)

    def after_s(self, tenant: str, wait_s: float, one_s: float, most_s: float, now: float) -> float:
        """In how many seconds one should come again for whom there is room in `wait_s`, and for another one in `one_s`
        more: then, and after those of its tenant that were told so before it."""
        told_s = max(wait_s, self._due_s.get(tenant, now) - now + one_s)
        told_s = min(max(MOST_RETRY_S, most_s), max(LEAST_RETRY_S, told_s))
        if len(self._due_s) >= _TOLD_KEPT and tenant not in self._due_s:
            self._forget(now)
        self._due_s[tenant] = now + told_s
        return told_s

    def _forget(self, now: float) -> None:
        """Those whose time has come; all, where these are few."""
        later = {tenant: due_s for tenant, due_s in self._due_s.items() if due_s > now}
        self._due_s = later if 2 * len(later) <= _TOLD_KEPT else {}
