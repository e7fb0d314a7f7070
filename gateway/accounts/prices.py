"""What a request costs, from rates compiled once per model.

Promise: `Rates.cost_usd` and `GpuMeter` are a few float operations (genai-prices costs 59 us a call). An operator's
price wins over the library's; a model nobody prices costs None, never 0. Rates agree with `genai_prices.calc_price`
for every token count that `engines.model.Usage` can carry; what it does not carry (images, audio, searches, service
tiers) is priced as plain tokens or not at all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

from engines.model import Usage
from routing.lease import Meter

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice


class PriceOverride(Protocol):
    """An operator's price of one model. `cached_input_usd_per_mtok` None means: as any other input."""

    @property
    def input_usd_per_mtok(self) -> float: ...
    @property
    def cached_input_usd_per_mtok(self) -> float | None: ...
    @property
    def output_usd_per_mtok(self) -> float: ...
    @property
    def request_usd(self) -> float: ...


class Row(NamedTuple):
    """US dollars per token, and per request. Parts of a whole are differences, so that cost is one sum of products.

    A cached token costs `per_input + cached_delta`; the same for tokens written to the cache and for reasoning.
    """

    per_input: float
    cached_delta: float
    write_delta: float
    per_output: float
    reasoning_delta: float
    per_request: float


class Table(NamedTuple):
    """`rows[i]` prices requests whose input exceeds exactly `i` of the thresholds: all their tokens, not the excess."""

    thresholds: tuple[int, ...]
    rows: tuple[Row, ...]


class Rates:
    """The price of one model, held by whoever sends it requests. `PriceBook.refresh` swaps its table at once."""

    __slots__ = ("table",)

    def __init__(self, table: Table) -> None:
        self.table = table

    def cost_usd(self, usage: Usage) -> float:
        """What the tokens of `usage` and the request itself cost.

        Counts that contradict each other (more cached tokens than input) are taken as a larger whole: never negative.
        """
        thresholds, rows = self.table
        whole_input = usage.input_tokens
        whole_output = usage.output_tokens
        cached = usage.cached_tokens
        written = usage.cache_write_tokens
        reasoning = usage.reasoning_tokens
        row = rows[bisect_left(thresholds, whole_input)] if thresholds else rows[0]
        per_input, cached_delta, write_delta, per_output, reasoning_delta, per_request = row
        if cached + written > whole_input:
            whole_input = cached + written
        if reasoning > whole_output:
            whole_output = reasoning
        return (
            whole_input * per_input
            + cached * cached_delta
            + written * write_delta
            + whole_output * per_output
            + reasoning * reasoning_delta
            + per_request
        )


_Key = tuple[str, str]
"""Provider and upstream model; or, of an operator's price, an empty string and its key in the configuration."""


class PriceBook:
    """Finds and compiles rates, each once.

    To look one up in the library is slow (0.3 s for the first, which imports it), so `prepare` and `refresh` may run in
    another thread: each replaces one reference when it is done, and the loop reads what was there before until then.
    """

    def __init__(self, overrides: Mapping[str, PriceOverride], now: Callable[[], datetime]) -> None:
        """Take the operator's prices.

        Args:
            overrides: by `<engine>/<upstream model>` or, after that, by `<upstream model>`.
            now: the wall clock, aware; prices that change by date or hour are taken as of the compile.
        """
        self._overrides = overrides
        self._now = now
        self._compiled: Mapping[_Key, Rates | None] = {}

    def prepare(self, wanted: Iterable[tuple[str, str, str]]) -> None:
        """Compile what `rates` will be asked for, and forget all else. What is known stays the same object."""
        known = self._compiled
        keys = {self._key(*one) for one in wanted}
        self._compiled = {key: known[key] if key in known else self._compile(key) for key in keys}

    def rates(self, provider: str, upstream_model: str, engine: str) -> Rates | None:
        """The rates of a model as an engine is asked for it, or None when nobody prices it. Slow if not prepared.

        Args:
            provider: as `engines.providers` names it; empty for our own engines, which only an override prices.
            upstream_model: the model name sent to the engine.
            engine: the engine's name in the configuration.
        """
        key = self._key(provider, upstream_model, engine)
        if key not in self._compiled:
            self._compiled = {**self._compiled, key: self._compile(key)}
        return self._compiled[key]

    def refresh(self) -> None:
        """Compile again in place, so that held rates follow dated and time-of-day prices. Run it hourly."""
        for key, rates in self._compiled.items():
            table = self._table(key)
            if rates is not None and table is not None:
                rates.table = table

    def _key(self, provider: str, upstream_model: str, engine: str) -> _Key:
        for override in (f"{engine}/{upstream_model}", upstream_model):
            if override in self._overrides:
                return "", override
        # Without a provider nothing but an override prices it, and an override's key is never empty.
        return (provider, upstream_model) if provider else ("", "")

    def _compile(self, key: _Key) -> Rates | None:
        table = self._table(key)
        return None if table is None else Rates(table)

    def _table(self, key: _Key) -> Table | None:
        provider, name = key
        if provider:
            return _library_table(provider, name, self._now())
        return _override_table(self._overrides[name]) if name else None


class GpuMeter(Meter):
    """Shares the cost of one replica's GPUs among the requests it serves.

    While n requests are in flight each pays 1/n of the clock. Shares are the difference of two readings of one running
    sum (virtual time), so a request costs O(1) and all costs add up to the price of the busy time, never more. Idle
    time is nobody's. One worker sees only its own requests: with N workers it charges 1/N of the price, which is exact
    when all are busy and too little when some are not.
    """

    __slots__ = ("_in_flight", "_last_s", "_share_s", "_usd_per_s")

    def __init__(self, usd_per_hour: float, workers: int = 1) -> None:
        """`usd_per_hour` is the price of the whole replica."""
        self._usd_per_s = usd_per_hour / 3600.0 / workers
        self._in_flight = 0
        self._share_s = 0.0
        self._last_s = 0.0

    def start(self, now_s: float) -> float:
        """A request is dispatched; keep the mark for `finish`. `now_s` is any monotonic clock."""
        self._advance(now_s)
        self._in_flight += 1
        return self._share_s

    def cost_so_far_usd(self, mark: float, now_s: float) -> float:
        """What the request that `start` gave `mark` has cost until now, in US dollars."""
        self._advance(now_s)
        return (self._share_s - mark) * self._usd_per_s

    def finish(self, mark: float, now_s: float) -> float:
        """The request that `start` gave `mark` has ended, in whatever way; its cost in US dollars."""
        self._advance(now_s)
        self._in_flight -= 1
        return (self._share_s - mark) * self._usd_per_s

    def _advance(self, now_s: float) -> None:
        if self._in_flight:
            self._share_s += (now_s - self._last_s) / self._in_flight
        self._last_s = now_s


def _override_table(price: PriceOverride) -> Table:
    per_input = price.input_usd_per_mtok / 1e6
    cached = price.cached_input_usd_per_mtok
    cached_delta = 0.0 if cached is None else cached / 1e6 - per_input
    return Table((), (Row(per_input, cached_delta, 0.0, price.output_usd_per_mtok / 1e6, 0.0, price.request_usd),))


def _library_table(provider: str, upstream_model: str, now: datetime) -> Table | None:
    # Imported here: 0.3 s, which a gateway without priced models need not pay.
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import TieredPrices

    try:
        _, model = get_snapshot().find_provider_model(upstream_model, None, provider, None)
    except LookupError:
        return None
    price = model.get_prices(now)
    if price.input_mtok is None and price.output_mtok is None and price.requests_kcount is None:
        return None  # priced by the hour, page or image only
    starts = {tier.start for value in vars(price).values() if isinstance(value, TieredPrices) for tier in value.tiers}
    thresholds = tuple(sorted(starts))
    return Table(thresholds, tuple(_row(price, above) for above in (-1, *thresholds)))


def _row(price: ModelPrice, above: int) -> Row:
    """The rates of a request whose input exceeds `above` and every lower threshold, and no higher one."""

    def rate(key: str, per: int = 1_000_000) -> float | None:
        value = getattr(price, key)
        if value is None or isinstance(value, Decimal):
            return None if value is None else float(value / per)
        passed = [tier.price for tier in value.tiers if tier.start <= above]
        return float((passed[-1] if passed else value.base) / per)

    per_input = rate("input_mtok") or 0.0
    per_output = rate("output_mtok") or 0.0

    def delta(key: str, whole: float) -> float:
        part = rate(key)
        return 0.0 if part is None else part - whole

    return Row(
        per_input,
        delta("cache_read_mtok", per_input),
        delta("cache_write_mtok", per_input),
        per_output,
        delta("output_reasoning_mtok", per_output),
        rate("requests_kcount", 1000) or 0.0,
    )
