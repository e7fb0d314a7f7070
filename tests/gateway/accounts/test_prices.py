"""Compiled prices agree with the library that they come from, to the last digit."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as LibraryUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices, TimeOfDateConstraint
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Parts, Units, Usage
from gateway.accounts.library import TIER_KEYS
from gateway.accounts.prices import MOST_ANSWERING, PriceBook, PriceOverride, Rates
from gateway.settings.sections.prices import Price

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def of(input_usd: float, output_usd: float, **more: Any) -> Price:
    """Per million tokens."""
    return Price(input_usd_per_mtok=input_usd, output_usd_per_mtok=output_usd, **more)


def book(**overrides: PriceOverride) -> PriceBook:
    return PriceBook(overrides, lambda: NOW)


def library_usd(provider: str, model: str, usage: Usage, now: datetime = NOW, tier_key: str = "") -> Decimal:
    """`tier_key`: what the library calls the kind of tier that `usage.tier` is."""
    parts, units = usage.parts or Parts(), usage.units or Units()
    price = calc_price(
        LibraryUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=parts.cache_write_1h_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
            input_audio_tokens=parts.input_audio_tokens,
            input_image_tokens=parts.input_image_tokens,
            output_audio_tokens=parts.output_audio_tokens,
            output_image_tokens=parts.output_image_tokens,
            cache_audio_read_tokens=parts.cached_audio_tokens,
            cache_image_read_tokens=parts.cached_image_tokens,
            input_video_tokens=parts.input_video_tokens,
            output_video_tokens=parts.output_video_tokens,
            input_audio_seconds=units.audio_seconds,
            audio_seconds=units.audio_seconds,
            input_characters=units.characters,
            input_document_pages=units.pages,
            rerank_searches=units.searches,
            web_searches=units.web_searches,
            storage_searches=units.file_searches,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=now,
        price_context={tier_key: usage.tier} if tier_key else None,
    )
    return price.total_price


Name = tuple[str, str]
"""A provider and one of its models."""

CHANGING: list[Name] = [("deepseek", "deepseek-chat"), ("deepseek", "deepseek-reasoner")]
"""They cost less by night."""


@functools.cache
def all_models() -> list[Name]:
    return [
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if provider.find_model(model.id) is model
    ]


@functools.cache
def priced() -> dict[Name, Rates]:
    ours = book()
    rates = {(provider, model): ours.rates(provider, model, "e") for provider, model in all_models()}
    return {name: found for name, found in rates.items() if found is not None and found.tables.by_token}


@functools.cache
def tiered() -> list[Name]:
    return [
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if any(isinstance(value, TieredPrices) for value in vars(model.get_prices(NOW)).values())
        and (provider.id, model.id) in priced()
    ]


@functools.cache
def tiers() -> list[tuple[str, str, str, str]]:
    """Provider, model, the library's kind of tier, and the tier: each that the library prices apart."""
    return [
        (provider.id, model.id, key, value)
        for provider in get_snapshot().providers
        for model in provider.models
        if (provider.id, model.id) in priced()
        for variant in model.price_variants or ()
        for key, value in variant.when.items()
        if key in TIER_KEYS and len(variant.when) == 1
    ]


def _amounts(price: ModelPrice) -> Iterator[Decimal]:
    for value in vars(price).values():
        if isinstance(value, TieredPrices):
            yield from (value.base, *(tier.price for tier in value.tiers))
        elif value is not None:
            yield value


@functools.cache
def inexact() -> frozenset[Name]:
    """The models with a price of more than six decimals, which is rounded."""
    return frozenset(
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        for price in (
            *([model.prices] if isinstance(model.prices, ModelPrice) else [one.prices for one in model.prices]),
            *(variant.prices for variant in model.price_variants or ()),
        )
        if any((amount * 1_000_000) % 1 for amount in _amounts(price))
    )


def agree(name: Name, usd: float | None, library: Decimal) -> bool:
    if usd is None:
        return False
    if name in inexact():
        return math.isclose(usd, library, rel_tol=1e-5, abs_tol=1e-12)
    return usd == float(library)


@st.composite
def usages(draw: st.DrawFn, with_parts: bool = False) -> Usage:
    """What an engine may report: no part is larger than its whole."""
    some = st.integers(0, 300_000)
    cached, written, reasoning = draw(some), draw(some), draw(st.integers(0, 10_000))
    whole_input, whole_output = cached + written + draw(some), reasoning + draw(st.integers(0, 10_000))
    parts = None
    if with_parts:
        cached_audio = draw(st.integers(0, cached))
        cached_image = draw(st.integers(0, cached - cached_audio))
        audio, image = cached_audio + draw(some), cached_image + draw(some)
        out_audio, out_image, video, out_video = draw(some), draw(some), draw(some), draw(some)
        whole_input += audio + image + video
        whole_output += out_audio + out_image + out_video
        hour = draw(st.integers(0, written))
        parts = Parts(audio, image, out_audio, out_image, cached_audio, cached_image, hour, video, out_video)
    return Usage(whole_input, whole_output, cached, written, reasoning, parts=parts)


def tier(usage: Usage, name: str) -> Usage:
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        tier=name,
        parts=usage.parts,
    )


def heard_by_the_hour(rates: Rates, usage: Usage) -> bool:
    """Whether its price is of sound whose length is not told, and so unknown."""
    units, parts = rates.tables.units, usage.parts
    if units is None or units.audio_hour is None or parts is None or not parts.input_audio_tokens:
        return False
    assert rates.cost_usd(usage) is None
    return True


PARTS = 70_001, 30_011, 20_011, 1_009, 9_001, 801, 901, 40_009, 2_003


def test_nearly_every_model_with_a_token_price_is_covered() -> None:
    assert len(priced()) > 2000
    assert len(tiered()) > 50
    assert len(tiers()) > 100
    assert len(inexact()) < 40


@pytest.mark.parametrize(
    "usage",
    [
        Usage(1_000, 500, 300, 200, 100),
        Usage(1_000_003, 70_001, 300_007, 200_009, 10_007, parts=Parts(*PARTS)),
    ],
    ids=["text", "all kinds"],
)
def test_every_model_of_the_library_costs_what_the_library_says(usage: Usage) -> None:
    wrong = [
        name
        for name, rates in priced().items()
        if not heard_by_the_hour(rates, usage) and not agree(name, rates.cost_usd(usage), library_usd(*name, usage))
    ]
    assert wrong == []


def test_every_tier_of_the_library_costs_what_the_library_says() -> None:
    usage = Usage(1_000, 500, 300, 200, 100)
    wrong = []
    for provider, model, key, name in tiers():
        asked = tier(usage, name)
        told = priced()[provider, model].cost_usd(asked)
        if not agree((provider, model), told, library_usd(provider, model, asked, tier_key=key)):
            wrong.append((provider, model, name))
    assert wrong == []


def test_some_tiers_cost_something_else() -> None:
    usage = Usage(1_000, 500)
    others = {
        name
        for provider, model, _, name in tiers()
        if priced()[provider, model].cost_usd(tier(usage, name)) != priced()[provider, model].cost_usd(usage)
    }
    assert others >= {"flex", "priority", "batch", "fast"}


def test_a_tier_that_has_no_price_of_its_own_costs_the_standard_price() -> None:
    rates = priced()["openai", "gpt-5-mini"]
    assert rates.cost_usd(tier(Usage(1_000, 500), "scale")) == rates.cost_usd(Usage(1_000, 500))


@given(
    st.deferred(lambda: st.sampled_from(list(priced()))),
    st.one_of(usages(), usages(with_parts=True)),
    st.integers(0, 4 * 365 * 24).map(lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
)
@settings(deadline=None)
def test_any_usage_at_any_time_costs_what_the_library_says(name: Name, usage: Usage, now: datetime) -> None:
    rates = PriceBook({}, lambda: now).rates(*name, "e")
    assert rates is not None
    assert heard_by_the_hour(rates, usage) or agree(name, rates.cost_usd(usage), library_usd(*name, usage, now))


@given(st.deferred(lambda: st.sampled_from(tiered())), st.data())
@settings(deadline=None)
def test_tiers_begin_where_the_library_begins_them(model: tuple[str, str], data: st.DataObject) -> None:
    rates = priced()[model]
    threshold = data.draw(st.sampled_from(rates.tables.standard.thresholds))
    for input_tokens in (threshold - 1, threshold, threshold + 1):
        usage = Usage(input_tokens, 10)
        assert agree(model, rates.cost_usd(usage), library_usd(*model, usage))


def test_a_known_price_by_hand() -> None:
    rates = book(m=of(2.0, 8.0, cached_input_usd_per_mtok=0.5, request_usd=0.01, cache_write_usd_per_mtok=2.5)).rates(
        "openai", "m", "e"
    )
    assert rates is not None
    # 500 at 2, 400 cached at 0.5, 100 written at 2.5, 100 out at 8, per million; and a cent.
    assert rates.cost_usd(Usage(1000, 100, 400, 100)) == 0.01225
    assert rates.source == "configured"


def test_an_override_without_a_cached_price_charges_cached_tokens_as_input() -> None:
    rates = book(m=of(2.0, 8.0)).rates("", "m", "e")
    assert rates is not None
    assert rates.cost_usd(Usage(1000, 0, cached_tokens=400)) == 0.002


def test_the_operators_price_wins_and_the_one_of_the_engine_first() -> None:
    prices = PriceBook({"gpt-5-mini": of(1.0, 0.0), "azure/gpt-5-mini": of(3.0, 0.0)}, lambda: NOW)
    million = Usage(1_000_000, 0)

    def cost(engine: str) -> float | None:
        rates = prices.rates("openai", "gpt-5-mini", engine)
        assert rates is not None
        return rates.cost_usd(million)

    assert [cost(engine) for engine in ("openai", "azure")] == [1.0, 3.0]


def test_an_upstream_model_with_slashes_is_matched_whole() -> None:
    prices = PriceBook({"llama/meta-llama/Llama-3.1-8B": of(1.0, 1.0)}, lambda: NOW)
    assert prices.rates("", "meta-llama/Llama-3.1-8B", "llama") is not None
    assert prices.rates("", "meta-llama/Llama-3.1-8B", "other") is None


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "no-such-model"), ("no-such-provider", "gpt-5-mini"), ("generic", "gpt-5-mini"), ("", "gpt-5-mini")],
)
def test_what_nobody_prices_is_unknown_and_not_free(provider: str, model: str) -> None:
    assert book().rates(provider, model, "e") is None


def test_rates_are_compiled_once() -> None:
    prices = book()
    assert prices.rates("openai", "gpt-5-mini", "a") is prices.rates("openai", "gpt-5-mini", "b")


@pytest.mark.parametrize(
    "usage",
    [Usage(0, 0), Usage(10, 5, cached_tokens=50), Usage(0, 0, cache_write_tokens=9), Usage(5, 1, reasoning_tokens=80)],
)
def test_contradicting_counts_never_cost_less_than_nothing(usage: Usage) -> None:
    rates = book().rates("anthropic", "claude-sonnet-4-5", "e")
    assert rates is not None
    whole = Usage(
        max(usage.input_tokens, usage.cached_tokens + usage.cache_write_tokens),
        max(usage.output_tokens, usage.reasoning_tokens),
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
    cost = rates.cost_usd(usage)
    assert cost is not None
    assert cost == rates.cost_usd(whole)
    assert cost >= 0.0


def test_a_refresh_moves_held_rates_to_the_price_of_the_hour() -> None:
    provider, model, constraint = next(
        (provider.id, model.id, price.constraint)
        for provider in get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        for price in model.prices
        if isinstance(price.constraint, TimeOfDateConstraint)
    )
    # The constraints are daily windows; every hour of the day is tried, so both sides of a window are.
    clock = [NOW]
    prices = PriceBook({}, lambda: clock[0])
    rates = prices.rates(provider, model, "e")
    assert rates is not None
    usage = Usage(1000, 1000)
    seen = set()
    for hour in range(24):
        clock[0] = NOW.replace(hour=hour)
        prices.refresh()
        cost = rates.cost_usd(usage)
        assert agree((provider, model), cost, library_usd(provider, model, usage, clock[0]))
        assert cost is not None
        seen.add(round(cost, 9))
    assert len(seen) > 1, constraint


def test_what_answers_is_priced_as_what_it_is() -> None:
    rates = book().rates("openai", "gpt-4o", "e")
    assert rates is not None
    usage = Usage(1_000_000, 0)
    assert rates.cost_usd(usage) == float(library_usd("openai", "gpt-4o", usage))
    older = rates.answering("gpt-4o-2024-05-13")
    assert older.cost_usd(usage) == float(library_usd("openai", "gpt-4o-2024-05-13", usage)) != rates.cost_usd(usage)
    assert rates.answering("gpt-4o-2024-05-13") is older
    assert (rates.answering("gpt-4o-2024-08-06"), rates.answering("of our own")) == (rates, rates)


def test_an_operators_price_holds_whatever_answers() -> None:
    rates = book(**{"gpt-4o": of(1.0, 1.0)}).rates("openai", "gpt-4o", "e")
    assert rates is not None
    assert rates.answering("gpt-4o-2024-05-13") is rates


def test_names_without_end_fill_nothing() -> None:
    rates = book().rates("openai", "gpt-5-mini", "e")
    assert rates is not None
    for number in range(MOST_ANSWERING + 9):
        assert rates.answering(f"made up {number}") is rates
    assert len(rates._found) == MOST_ANSWERING


def test_only_what_may_change_is_refreshed() -> None:
    changing = {name for name, rates in priced().items() if rates.tables.changing}
    assert changing >= set(CHANGING)
    assert ("openai", "gpt-4o-mini") not in changing


def test_a_refresh_leaves_unknown_models_unknown() -> None:
    prices = book()
    assert prices.rates("openai", "no-such-model", "e") is None
    prices.refresh()
    assert prices.rates("openai", "no-such-model", "e") is None


def test_no_price_is_not_made_of_nothing() -> None:
    assert isinstance(book(m=of(0.0, 0.0)).rates("", "m", "e"), Rates)


def test_what_is_prepared_is_kept_and_what_is_no_longer_wanted_is_forgotten() -> None:
    prices = book(m=of(1.0, 1.0))
    prices.prepare([("openai", "gpt-5-mini", "a"), ("", "m", "own"), ("", "unpriced", "own")])
    hosted, own = prices.rates("openai", "gpt-5-mini", "a"), prices.rates("", "m", "own")
    assert (hosted is not None, own is not None, prices.rates("", "unpriced", "own")) == (True, True, None)
    prices.prepare([("openai", "gpt-5-mini", "b")])
    assert prices.rates("openai", "gpt-5-mini", "b") is hosted
    assert prices.rates("", "m", "own") is not own


def test_a_model_asked_for_in_the_middle_of_a_refresh_does_not_break_it() -> None:
    asked: list[Rates | None] = []

    def now() -> datetime:
        if refreshing and not asked:
            asked.append(None)
            asked.append(prices.rates("anthropic", "claude-sonnet-4-5", "a"))
        return NOW

    refreshing = False
    prices = PriceBook({}, now)
    held = [prices.rates(*name, "a") for name in CHANGING]
    before = [rates.tables for rates in held if rates is not None]
    refreshing = True
    prices.refresh()
    assert before == [rates.tables for rates in held if rates is not None]
    assert asked[1] is not None
