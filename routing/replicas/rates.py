"""How fast a replica prefills, learned from how long it takes to its first tokens, and how fast it decodes.

Time to the first token is taken to be a line over the tokens that had to be prefilled before it, one's own and those
ahead: `base + slope * tokens`. The line is fitted by least squares over samples that fade (weight falls by e every
`DECAY_S`), so a replica that changes is followed within a minute, and unlike GPUs in one pool find their share by
themselves. A few samples' worth of a plausible line stands in until there is something better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from routing.replicas.ewma import Ewma

DECAY_S: Final = 60.0
SPACING_S: Final = 0.05
"""At most one sample per so much once warm: more say nothing new, and each costs 1 us."""
_WARM_SAMPLES: Final = 30
_FEW_SAMPLES: Final = 8
_SOONER: Final = 0.5
"""Of what the line says: so much sooner came first tokens that show it to be wrong, if `_IN_A_ROW` did. A replica that
hung for half a minute would be taken to be slow for five, by what it held up then."""
_IN_A_ROW: Final = 8
_LET_GO: Final = 0.25
"""What the line is believed by then, of what it was."""
_APART: Final = 0.25
"""What part of itself a line of one of several equal replicas may be off by, however many samples it has: whoever is
believed to be slow is sent less, and less of it at once, and what is left to learn from says little of its speed."""
_ALIKE: Final = 4.0
"""Times the variance that independent samples would have."""

# What is assumed of a replica that nobody has asked yet: an 8B model on one current data-centre GPU.
SEED_BASE_MS: Final = 20.0
SEED_MS_PER_TOKEN: Final = 0.1
_SEED_TOKENS: Final = 4000.0
"""The assumed line is made of what it says of no tokens and of so many."""
_SEED_WEIGHT: Final = 1.0
"""Of each of the two points that the assumed line is made of."""

_LEAST_MS_PER_TOKEN: Final = 0.0005
_MOST_MS_PER_TOKEN: Final = 100.0
_MOST_MS: Final = 600_000.0


class PrefillRate:
    """The line of one replica. Reading it is reading two attributes."""

    __slots__ = (
        "_at_s",
        "_next_s",
        "_samples",
        "_sooner",
        "_weight",
        "_x",
        "_xx",
        "_xy",
        "_y",
        "_yy",
        "base_ms",
        "ms_per_token",
    )

    def __init__(self) -> None:
        self._sooner = 0
        """How many first tokens in a row came much sooner than the line says."""
        self.base_ms = SEED_BASE_MS
        """Of a request without a prompt, on a replica with nothing to prefill."""
        self.ms_per_token = SEED_MS_PER_TOKEN
        self._at_s = 0.0
        self._next_s = float("-inf")
        self.fade()

    @property
    def learned(self) -> bool:
        """Whether it rests on what the replica did."""
        return self._samples > 0

    def known(self, now: float, samples: int) -> bool:
        """Whether it rests on so many samples, and on one of the last `DECAY_S` seconds."""
        return self._samples >= samples and now - self._at_s <= DECAY_S

    @property
    def usual_tokens(self) -> float:
        """What had to be prefilled before a first token, in the mean."""
        return self._x / self._weight

    def ttft_ms(self, tokens: float) -> float:
        """When the first token comes, with so many to prefill before it."""
        return self.base_ms + tokens * self.ms_per_token

    @property
    def variance(self) -> float:
        """Of `ms_per_token`; infinite where that rests on next to nothing. Requests of one moment are late for one
        reason, so each says less than if it stood alone."""
        if self._samples < _FEW_SAMPLES:
            return math.inf
        spread = self._xx - self._x * self._x / self._weight
        if spread <= 0.0:
            return math.inf
        return _ALIKE * self._left() / (self._weight * spread)

    @property
    def off_ms(self) -> float:
        """By how much first tokens came sooner or later than the line says, as a standard deviation."""
        return math.sqrt(self._left() / self._weight)

    def _left(self) -> float:
        """The sum of squares that the line leaves, as it is least."""
        slope = self.ms_per_token
        left = self._yy - self._y * self._y / self._weight - slope * (self._xy - self._x * self._y / self._weight)
        return max(0.0, left)

    def fade(self) -> None:
        """Let the line weigh as little as the one that is assumed of a replica that nobody has asked yet."""
        self._samples = 0
        self._weight = self._x = self._y = self._xx = self._xy = self._yy = 0.0
        for tokens in (0.0, _SEED_TOKENS):
            self._take(tokens, self.ttft_ms(tokens), _SEED_WEIGHT)

    def learn(self, tokens: float, ttft_ms: float, now: float) -> None:
        """The first token of a request came after `ttft_ms`, with so many tokens to prefill until then."""
        if now < self._next_s or not 0.0 <= ttft_ms <= _MOST_MS or tokens < 0.0:
            return
        self._samples += 1
        if self._samples > _WARM_SAMPLES:
            self._next_s = now + SPACING_S
        if self._samples > 1 and now > self._at_s:
            self._keep(math.exp((self._at_s - now) / DECAY_S))
        self._sooner = self._sooner + 1 if ttft_ms < _SOONER * self.ttft_ms(tokens) else 0
        if self._sooner >= _IN_A_ROW:
            self._sooner = 0
            self._keep(_LET_GO)
        self._at_s = now
        self._take(tokens, ttft_ms, 1.0)
        self._fit()

    def _keep(self, part: float) -> None:
        self._weight *= part
        self._x *= part
        self._y *= part
        self._xx *= part
        self._xy *= part
        self._yy *= part

    def _take(self, tokens: float, ttft_ms: float, weight: float) -> None:
        self._weight += weight
        self._x += weight * tokens
        self._y += weight * ttft_ms
        self._xx += weight * tokens * tokens
        self._xy += weight * tokens * ttft_ms
        self._yy += weight * ttft_ms * ttft_ms

    def _fit(self) -> None:
        spread = self._weight * self._xx - self._x * self._x
        # Samples that all had the same number of tokens say nothing of the slope: it stays.
        if spread > 1e-3 * self._weight * self._xx:
            slope = (self._weight * self._xy - self._x * self._y) / spread
            self.ms_per_token = min(_MOST_MS_PER_TOKEN, max(_LEAST_MS_PER_TOKEN, slope))
        self.base_ms = max(0.0, (self._y - self.ms_per_token * self._x) / self._weight)


def together(lines: Sequence[PrefillRate]) -> list[float]:
    """The `ms_per_token` of each, as all of them together make it likely.

    What one differs by from the others is believed as far as it is more than chance makes them differ (empirical Bayes,
    as James and Stein's): replicas of one kind are taken to be equally fast, those of two kinds are not, and one of
    whom little is known is like the others. A few slow requests would make a slow replica else, each worker would shun
    another one, and prompts would be computed where nobody looks for them again: at 90 % of saturation in virtual time,
    four workers kept 55 % of the shared prompts good, and keep 99 with this (`penstock simulate-routing`).
    """
    variances = [line.variance for line in lines]
    known = [line.ms_per_token for line, variance in zip(lines, variances, strict=True) if variance < math.inf]
    if not known:
        return [sum([line.ms_per_token for line in lines]) / max(1, len(lines))] * len(lines)
    mean = sum(known) / len(known)
    floor = (_APART * mean) ** 2
    chance = floor + sum([variance for variance in variances if variance < math.inf]) / len(known)
    real = sum([(one - mean) ** 2 for one in known]) / max(1, len(known) - 1) - chance
    if real <= 0.0:
        return [mean] * len(lines)
    return [
        mean + real / (real + floor + variance) * (line.ms_per_token - mean)
        for line, variance in zip(lines, variances, strict=True)
    ]


class DecodeRate:
    """The time per output token of one replica, at the load that it has lately had."""

    __slots__ = ("_mean", "_next_s", "_samples", "ms_per_token")

    def __init__(self) -> None:
        self._mean = Ewma(0.0, DECAY_S, seed_weight=1e-9)
        self.ms_per_token = 0.0
        """0 until it is learned."""
        self._samples = 0
        self._next_s = float("-inf")

    @property
    def learned(self) -> bool:
        """Whether it rests on what the replica did."""
        return self._samples > 0

    def learn(self, tpot_ms: float, now: float) -> None:
        """An answer took so long for each token after its first."""
        if now < self._next_s or not 0.0 <= tpot_ms <= _MOST_MS:
            return
        self._samples += 1
        if self._samples > _WARM_SAMPLES:
            self._next_s = now + SPACING_S
        self._mean.add(tpot_ms, now)
        self.ms_per_token = self._mean.value
