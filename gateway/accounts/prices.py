"""What a request costs, from rates compiled once per model and service tier.

Promise: `Rates.cost_usd` is a few integer operations (genai-prices costs 59 us a call). An operator's price wins over
the library's; a model nobody prices costs None, never 0. Money is counted in whole picodollars (1e-12 US dollars), so
that sums are exact: rates agree with `genai_prices.calc_price` for every count that `engines.model.Usage` carries, to
the last digit where a price per million tokens has six decimals at most, as all but some thirty have. What is charged
by something else than tokens (sound by the hour, speech by the character, pages, pictures, searches) is priced by what
`engines.model.Units` tell; where a part of what an answer cost is unknown, its record says `unpriced`, and counts
with what is known of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from engines.model import UNITS, Parts, Units, Usage

PICO: Final = 1e12
HOUR_S: Final = 3600
SEARCHES: Final = UNITS.index("web_searches")
"""From here on `engines.model.UNITS` are what is charged beside tokens."""
NOTHING_ELSE: Final = Units()
CONFIGURED: Final = "configured"
"""The source of an operator's price."""
MOST_ANSWERING: Final = 256
"""Names that one target's engine may have for what answers; it would be a strange one that has ten."""


class RateOverride(Protocol):
    """An operator's rates. None means: as what it is a part of; of what is no token, that its price is unknown."""

    @property
    def input_usd_per_mtok(self) -> float: ...
    @property
    def cached_input_usd_per_mtok(self) -> float | None: ...
    @property
    def cache_write_usd_per_mtok(self) -> float | None: ...
    @property
    def cache_write_1h_usd_per_mtok(self) -> float | None: ...
    @property
    def output_usd_per_mtok(self) -> float: ...
    @property
    def reasoning_usd_per_mtok(self) -> float | None: ...
    @property
    def input_audio_usd_per_mtok(self) -> float | None: ...
    @property
    def cached_audio_usd_per_mtok(self) -> float | None: ...
    @property
    def output_audio_usd_per_mtok(self) -> float | None: ...
    @property
    def input_image_usd_per_mtok(self) -> float | None: ...
    @property
    def cached_image_usd_per_mtok(self) -> float | None: ...
    @property
    def output_image_usd_per_mtok(self) -> float | None: ...
    @property
    def input_video_usd_per_mtok(self) -> float | None: ...
    @property
    def output_video_usd_per_mtok(self) -> float | None: ...
    @property
    def audio_usd_per_hour(self) -> float | None: ...
    @property
    def characters_usd_per_million(self) -> float | None: ...
    @property
    def image_usd(self) -> float | None: ...
    @property
    def page_usd(self) -> float | None: ...
    @property
    def search_usd(self) -> float | None: ...
    @property
    def web_search_usd(self) -> float | None: ...
    @property
    def file_search_usd(self) -> float | None: ...
    @property
    def request_usd(self) -> float: ...


class PriceOverride(RateOverride, Protocol):
    """An operator's price of one model."""

    @property
    def above_input_tokens(self) -> Mapping[int, RateOverride]: ...
    @property
    def tiers(self) -> Mapping[str, RateOverride]: ...


class PartsRow(NamedTuple):
    """What `engines.model.Parts` cost more, or less, than what they are parts of: picodollars per token."""

    input_audio: int
    input_image: int
    output_audio: int
    output_image: int
    cached_audio: int
    cached_image: int
    cache_write_1h: int
    input_video: int
    output_video: int


class UnitsRow(NamedTuple):
    """Picodollars for each of what `engines.model.Units` count, in their order; sound is by the hour. None: unknown."""

    audio_hour: int | None = None
    character: int | None = None
    image: int | None = None
    page: int | None = None
    search: int | None = None
    web_search: int | None = None
    file_search: int | None = None


NO_UNITS: Final = UnitsRow()


class Row(NamedTuple):
    """Picodollars per token, and per request. Parts of a whole are differences, so that cost is one sum of products.

    A cached token costs `per_input + cached_delta`; the same for tokens written to the cache and for reasoning.
    """

    per_input: int
    cached_delta: int
    write_delta: int
    per_output: int
    reasoning_delta: int
    per_request: int
    parts: PartsRow | None = None
    """None where they cost nothing more."""


class Table(NamedTuple):
    """`rows[i]` prices requests whose input exceeds exactly `i` of the thresholds: all their tokens, not the excess."""

    thresholds: tuple[int, ...]
    rows: tuple[Row, ...]


class Tables(NamedTuple):
    """The prices of one model at one time."""

    standard: Table
    by_tier: Mapping[str, Table]
    """Of the service tiers that cost something else; `standard` is for every other."""
    changing: bool = False
    """Whether they will be others at another hour or on a later day."""
    units: UnitsRow | None = None
    """None where nothing but tokens and requests has a price."""
    by_token: bool = True
    """Whether tokens, or requests, have a price."""
    context_tokens: int = 0
    """How many tokens the model can read and write together; 0 where that is not known."""


Answering = Callable[[str], "Rates | None"]
"""The rates of another model of the same provider; None where it is not priced."""


class Rates:
    """The price of one model, held by whoever sends it requests. `PriceBook.refresh` swaps its tables at once."""

    __slots__ = ("_find", "_found", "source", "tables")

    def __init__(self, tables: Tables, source: str, find: Answering | None = None) -> None:
        """`source`: where the price is from, for the record. `find`: where another model may answer for this one."""
        self.tables = tables
        self.source = source
        self._find = find
        self._found: dict[str, Rates] = {}

    def answering(self, model: str) -> Rates:
        """The rates of what answered in the end, as its engine names it: an alias moves, a router chooses.

        Those of what was asked for where the name is not priced, or the operator's price holds. The first look at a
        name takes up to 4 ms.
        """
        rates = self._found.get(model)
        if rates is None:
            find = self._find
            if find is None or len(self._found) >= MOST_ANSWERING:
                return self
            rates = find(model)
            if rates is None or rates.tables == self.tables:
                rates = self
            self._found[model] = rates
        return rates

    def cost_usd(self, usage: Usage, least: bool = False) -> float | None:
        """What `usage` and the request itself cost; None where a part of that is unknown, but with `least` the rest.
        A count that was left out and that nobody could estimate is such a part.

        Counts that contradict each other (more cached tokens than input) are taken as a larger whole: never negative.
        """
        if usage.unsaid and not least:
            return None
        tables = self.tables
        thresholds, rows = tables.by_tier.get(usage.tier, tables.standard) if usage.tier else tables.standard
        whole_input = usage.input_tokens
        whole_output = usage.output_tokens
        cached = usage.cached_tokens
        written = usage.cache_write_tokens
        reasoning = usage.reasoning_tokens
        row = rows[bisect_left(thresholds, whole_input)] if thresholds else rows[0]
        per_input, cached_delta, write_delta, per_output, reasoning_delta, per_request, parts_row = row
        if cached + written > whole_input:
            whole_input = cached + written
        if reasoning > whole_output:
            whole_output = reasoning
        pico = (
            whole_input * per_input
            + cached * cached_delta
            + written * write_delta
            + whole_output * per_output
            + reasoning * reasoning_delta
            + per_request
        )
        if usage.parts is not None and parts_row is not None:
            pico = max(0, pico + _parts_pico(usage.parts, parts_row))
        if usage.units is not None or tables.units is not None:
            more = _units_pico(usage, tables, least)
            if more is None:
                return None
            pico += more
        return pico / PICO

    def take(self, newer: Rates) -> None:
        """Cost what `newer` does from now on."""
        self.tables = newer.tables
        self._found = {}


def _parts_pico(parts: Parts, row: PartsRow) -> int:
    return (
        parts.input_audio_tokens * row.input_audio
        + parts.input_image_tokens * row.input_image
        + parts.output_audio_tokens * row.output_audio
        + parts.output_image_tokens * row.output_image
        + parts.cached_audio_tokens * row.cached_audio
        + parts.cached_image_tokens * row.cached_image
        + parts.cache_write_1h_tokens * row.cache_write_1h
        + parts.input_video_tokens * row.input_video
        + parts.output_video_tokens * row.output_video
    )


def _units_pico(usage: Usage, tables: Tables, least: bool) -> int | None:
    """What is charged for by something else than tokens; None where that is not known, but with `least` the rest.

    Tokens that are told, and priced, are the price of sound and pictures; but searches cost beside them.
    """
    row = tables.units or NO_UNITS
    units = usage.units or NOTHING_ELSE
    by_token = tables.by_token and usage.counts_tokens
    if not by_token and units is NOTHING_ELSE:
        return 0 if least else None
    pico = 0
    heard, hour = units.audio_seconds, row.audio_hour
    if hour is not None:
        parts = usage.parts
        if not heard and not least and parts is not None and parts.input_audio_tokens:
            return None  # it heard something, and for how long is not told
        pico = round(heard * hour / HOUR_S)
    elif heard and not by_token and not least:
        return None
    counted = units.counts()
    for at in range(1, len(counted)):
        count, price = counted[at], row[at]
        if not count:
            continue
        if price is not None:
            pico += round(count * price)
        elif not least and (not by_token or at >= SEARCHES):
            return None
    return pico


_Key = tuple[str, str]
"""Provider and upstream model; or, of an operator's price, an empty string and its key in the configuration."""


MOST_CHOSEN: Final = 1024
"""Names of a wildcard whose price is kept."""


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
        self._chosen: Mapping[_Key, Rates | None] = {}
        """Of names that clients chose."""

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

    def asked_for(self, provider: str, upstream_model: str, engine: str) -> Rates | None:
        """The same of a name that a client chose (of a wildcard): only those asked for last are kept."""
        key = self._key(provider, upstream_model, engine)
        if key in self._compiled:
            return self._compiled[key]
        if key not in self._chosen:
            rates = self._compile(key)
            kept = list(self._chosen.items())[1 - MOST_CHOSEN :]
            self._chosen = {**dict(kept), key: rates}
        return self._chosen[key]

    def refresh(self) -> None:
        """Compile again in place what changes by date or hour, so that held rates follow. Run it every minute."""
        for (provider, name), rates in (*self._compiled.items(), *self._chosen.items()):
            if rates is not None and rates.tables.changing:
                newer = self._compile((provider, name))
                if newer is not None:
                    rates.take(newer)

    def _key(self, provider: str, upstream_model: str, engine: str) -> _Key:
        for override in (f"{engine}/{upstream_model}", upstream_model):
            if override in self._overrides:
                return "", override
        # Without a provider nothing but an override prices it, and an override's key is never empty.
        return (provider, upstream_model) if provider else ("", "")

    def _compile(self, key: _Key) -> Rates | None:
        provider, name = key
        if not provider:
            from gateway.accounts.overrides import override_tables

            return Rates(override_tables(self._overrides[name]), CONFIGURED) if name else None
        # Imported here: 0.3 s, which a gateway without priced models need not pay.
        from gateway.accounts.library import SOURCE, library_tables

        tables = library_tables(provider, name, self._now())
        if tables is None:
            return None

        def find(model: str) -> Rates | None:
            other = library_tables(provider, model, self._now())
            return None if other is None else Rates(other, SOURCE)

        return Rates(tables, SOURCE, find)
