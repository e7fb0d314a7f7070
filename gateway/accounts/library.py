"""Prices of hosted models: those of genai-prices, compiled. The only module that knows the library.

Its data comes with the package, and nothing is fetched. Importing it takes 0.3 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Final

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from gateway.accounts.prices import PICO, PartsRow, Row, Table, Tables, UnitsRow

SOURCE: Final = f"genai-prices {version('genai-prices')}"

KNOWN: Final = frozenset(
    {
        *("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"),
        *("output_reasoning_mtok", "input_audio_mtok", "output_audio_mtok", "cache_audio_read_mtok"),
        *("input_image_mtok", "output_image_mtok", "cache_image_read_mtok", "input_video_mtok", "output_video_mtok"),
        *("audio_hours", "input_audio_hours", "input_mchars", "input_document_kpages"),
        *("rerank_searches_kcount", "web_searches_kcount", "storage_searches_kcount", "requests_kcount"),
    }
)
"""What of the library's prices is reckoned with."""
NO_TABLE: Final = Table((), (Row(0, 0, 0, 0, 0, 0),))

TIER_KEYS: Final = frozenset({"service_tier", "speed", "processing"})
"""What the library calls that which an answer says as its tier: OpenAI's `flex`, Anthropic's `fast`, a `batch`."""


def library_tables(provider: str, upstream_model: str, now: datetime) -> Tables | None:
    """The prices of `now`; None for a model that is not there, or whose price has a part that is not reckoned with."""
    try:
        found, model = get_snapshot().find_provider_model(upstream_model, None, provider, None)
    except LookupError:
        return None
    price = model.get_prices(now)
    standard, units = _table(price), _units(price)
    if any(value is not None and name not in KNOWN for name, value in vars(price).items()):
        return None  # a part of what it costs is nothing that we count
    by_token = standard is not None
    if standard is None:
        if units is None:
            return None
        standard = NO_TABLE
    # A provider that offers another's model has that one's standard price, and not its tiers.
    own = any(model is one for one in found.models)
    contexts: dict[str, Mapping[str, str]] = {}
    for variant in (model.price_variants or ()) if own else ():
        ((key, value), *more) = variant.when.items()
        if key in TIER_KEYS and not more:
            contexts[value] = variant.when
    tables = {value: _table(model.get_prices(now, when)) for value, when in contexts.items()}
    by_tier = {value: table for value, table in tables.items() if table is not None and table != standard}
    return Tables(standard, by_tier, _changing(model, now), units, by_token, model.context_window or 0)


def _units(price: ModelPrice) -> UnitsRow | None:
    def each(key: str, pico: float) -> int | None:
        value: Decimal | TieredPrices | None = getattr(price, key)
        return None if value is None else round((value.base if isinstance(value, TieredPrices) else value) * int(pico))

    heard = each("input_audio_hours", PICO)
    units = UnitsRow(
        audio_hour=each("audio_hours", PICO) if heard is None else heard,
        character=each("input_mchars", PICO / 1_000_000),
        page=each("input_document_kpages", PICO / 1_000),
        search=each("rerank_searches_kcount", PICO / 1_000),
        web_search=each("web_searches_kcount", PICO / 1_000),
        file_search=each("storage_searches_kcount", PICO / 1_000),
    )
    return units if any(one is not None for one in units) else None


def _changing(model: ModelInfo, now: datetime) -> bool:
    prices = [] if isinstance(model.prices, ModelPrice) else model.prices
    return any(
        not (isinstance(one.constraint, StartDateConstraint) and one.constraint.active(now))
        for one in (*prices, *(model.price_variants or ()))
        if one.constraint is not None
    )


def _table(price: ModelPrice) -> Table | None:
    if price.input_mtok is None and price.output_mtok is None and price.requests_kcount is None:
        return None  # priced by the hour, the character or the page only
    starts = {tier.start for value in vars(price).values() if isinstance(value, TieredPrices) for tier in value.tiers}
    thresholds = tuple(sorted(starts))
    return Table(thresholds, tuple(_row(price, above) for above in (-1, *thresholds)))


def _row(price: ModelPrice, above: int) -> Row:
    """The rates of a request whose input exceeds `above` and every lower threshold, and no higher one."""

    def rate(key: str, whole: int = 0, pico: int = 1_000_000) -> int:
        """As much as `whole`, of which it is a part, where it has no price of its own."""
        value: Decimal | TieredPrices | None = getattr(price, key)
        if value is None:
            return whole
        if not isinstance(value, Decimal):
            passed = [tier.price for tier in value.tiers if tier.start <= above]
            value = passed[-1] if passed else value.base
        return round(value * pico)

    of_input, of_output = rate("input_mtok"), rate("output_mtok")
    cached, written = rate("cache_read_mtok", of_input), rate("cache_write_mtok", of_input)
    audio, image = rate("input_audio_mtok", of_input), rate("input_image_mtok", of_input)
    # What is cached and audio both costs as much as either; of two that have a price the library prices the third.
    cached_audio = rate("cache_audio_read_mtok", cached if audio == of_input else audio)
    cached_image = rate("cache_image_read_mtok", cached if image == of_input else image)
    parts = PartsRow(
        input_audio=audio - of_input,
        input_image=image - of_input,
        output_audio=rate("output_audio_mtok", of_output) - of_output,
        output_image=rate("output_image_mtok", of_output) - of_output,
        cached_audio=cached_audio - cached - audio + of_input,
        cached_image=cached_image - cached - image + of_input,
        cache_write_1h=rate("cache_write_1h_mtok", written) - written,
        input_video=rate("input_video_mtok", of_input) - of_input,
        output_video=rate("output_video_mtok", of_output) - of_output,
    )
    return Row(
        of_input,
        cached - of_input,
        written - of_input,
        of_output,
        rate("output_reasoning_mtok", of_output) - of_output,
        rate("requests_kcount", pico=1_000_000_000),
        parts if any(parts) else None,
    )
