"""Compiled prices agree with the library that they come from; GPU shares add up to the GPU's price."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from genai_prices import Usage as LibraryUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices, TimeOfDateConstraint
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.model import Usage
from gateway.accounts.prices import GpuMeter, PriceBook, PriceOverride, Rates

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Price:
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    request_usd: float = 0.0


def book(**overrides: PriceOverride) -> PriceBook:
    return PriceBook(overrides, lambda: NOW)


def library_usd(provider: str, model: str, usage: Usage, now: datetime = NOW) -> float:
    price = calc_price(
        LibraryUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=now,
    )
    return float(price.total_price)


Name = tuple[str, str]
"""A provider and one of its models."""


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
    return {name: found for name, found in rates.items() if found is not None}


@functools.cache
def tiered() -> list[Name]:
    return [
        (provider.id, model.id)
        for provider in get_snapshot().providers
        for model in provider.models
        if any(isinstance(value, TieredPrices) for value in vars(model.get_prices(NOW)).values())
        and (provider.id, model.id) in priced()
    ]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    cached, written = draw(st.integers(0, 300_000)), draw(st.integers(0, 300_000))
    reasoning = draw(st.integers(0, 10_000))
    return Usage(
        cached + written + draw(st.integers(0, 300_000)),
        reasoning + draw(st.integers(0, 10_000)),
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    )


def test_nearly_every_model_with_a_token_price_is_covered() -> None:
    assert len(priced()) > 2000
    assert len(tiered()) > 50


def test_every_model_of_the_library_costs_what_the_library_says() -> None:
    usage = Usage(1_000, 500, cached_tokens=300, cache_write_tokens=200, reasoning_tokens=100)
    wrong = []
    for (provider, model), rates in priced().items():
        if not math.isclose(rates.cost_usd(usage), library_usd(provider, model, usage), rel_tol=1e-9, abs_tol=1e-15):
            wrong.append((provider, model))
    assert wrong == []


@given(st.deferred(lambda: st.sampled_from(list(priced()))), usages())
@settings(deadline=None)
def test_any_usage_costs_what_the_library_says(model: tuple[str, str], usage: Usage) -> None:
    assert math.isclose(priced()[model].cost_usd(usage), library_usd(*model, usage), rel_tol=1e-9, abs_tol=1e-15)


@given(st.deferred(lambda: st.sampled_from(tiered())), st.data())
@settings(deadline=None)
def test_tiers_begin_where_the_library_begins_them(model: tuple[str, str], data: st.DataObject) -> None:
    rates = priced()[model]
    threshold = data.draw(st.sampled_from(rates.table.thresholds))
    for input_tokens in (threshold - 1, threshold, threshold + 1):
        usage = Usage(input_tokens, 10)
        assert math.isclose(rates.cost_usd(usage), library_usd(*model, usage), rel_tol=1e-9, abs_tol=1e-15)


def test_a_known_price_by_hand() -> None:
    rates = book(m=Price(2.0, 8.0, 0.5, 0.01)).rates("openai", "m", "e")
    assert rates is not None
    # 600 at 2, 400 cached at 0.5, 100 out at 8, per million; and a cent.
    expected = pytest.approx((600 * 2.0 + 400 * 0.5 + 100 * 8.0) / 1e6 + 0.01, rel=1e-12)
    assert rates.cost_usd(Usage(1000, 100, cached_tokens=400)) == expected


def test_an_override_without_a_cached_price_charges_cached_tokens_as_input() -> None:
    rates = book(m=Price(2.0, 8.0)).rates("", "m", "e")
    assert rates is not None
    assert rates.cost_usd(Usage(1000, 0, cached_tokens=400)) == pytest.approx(0.002, rel=1e-12)


def test_the_operators_price_wins_and_the_one_of_the_engine_first() -> None:
    prices = PriceBook({"gpt-5-mini": Price(1.0, 0.0), "azure/gpt-5-mini": Price(3.0, 0.0)}, lambda: NOW)
    million = Usage(1_000_000, 0)

    def cost(engine: str) -> float:
        rates = prices.rates("openai", "gpt-5-mini", engine)
        assert rates is not None
        return rates.cost_usd(million)

    assert [round(cost(engine), 12) for engine in ("openai", "azure")] == [1.0, 3.0]


def test_an_upstream_model_with_slashes_is_matched_whole() -> None:
    prices = PriceBook({"llama/meta-llama/Llama-3.1-8B": Price(1.0, 1.0)}, lambda: NOW)
    assert prices.rates("", "meta-llama/Llama-3.1-8B", "llama") is not None
    assert prices.rates("", "meta-llama/Llama-3.1-8B", "other") is None


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "no-such-model"), ("no-such-provider", "gpt-5-mini"), ("generic", "gpt-5-mini"), ("", "gpt-5-mini")],
)
def test_what_nobody_prices_is_unknown_and_not_free(provider: str, model: str) -> None:
    assert book().rates(provider, model, "e") is None


def test_a_model_priced_only_by_the_hour_is_unknown() -> None:
    assert ("groq", "whisper-large-v3") in all_models()
    assert book().rates("groq", "whisper-large-v3", "e") is None


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
    assert rates.cost_usd(usage) == rates.cost_usd(whole) >= 0.0


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
        assert math.isclose(cost, library_usd(provider, model, usage, clock[0]), rel_tol=1e-9)
        seen.add(round(cost, 9))
    assert len(seen) > 1, constraint


def test_a_refresh_leaves_unknown_models_unknown() -> None:
    prices = book()
    assert prices.rates("openai", "no-such-model", "e") is None
    prices.refresh()
    assert prices.rates("openai", "no-such-model", "e") is None


def test_one_request_alone_pays_the_whole_clock() -> None:
    meter = GpuMeter(3600.0)
    mark = meter.start(100.0)
    assert meter.finish(mark, 102.5) == 2.5


def test_two_requests_share_the_time_they_overlap() -> None:
    meter = GpuMeter(3600.0)
    first = meter.start(0.0)
    second = meter.start(2.0)
    assert meter.finish(first, 6.0) == 2.0 + 2.0
    assert meter.finish(second, 7.0) == 2.0 + 1.0


def test_idle_time_is_charged_to_nobody() -> None:
    meter = GpuMeter(3600.0)
    meter.finish(meter.start(0.0), 1.0)
    assert meter.finish(meter.start(50.0), 51.0) == 1.0


def test_workers_split_the_price() -> None:
    meter = GpuMeter(3600.0, workers=4)
    assert meter.finish(meter.start(0.0), 1.0) == 0.25


_spells = st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 10_000)), min_size=1, max_size=30)


@given(_spells)
@settings(deadline=None)
def test_costs_add_up_to_the_busy_time(spells: list[tuple[int, int]]) -> None:
    meter = GpuMeter(3600.0)
    events = sorted(
        [(start, 1, i) for i, (start, _) in enumerate(spells)]
        + [(start + length, 2, i) for i, (start, length) in enumerate(spells)]
    )
    marks: dict[int, float] = {}
    costs: list[float] = []
    for at, kind, i in events:
        if kind == 1:
            marks[i] = meter.start(float(at))
        else:
            costs.append(meter.finish(marks[i], float(at)))
    busy, until = 0, 0
    for start, length in sorted(spells):
        busy += max(0, start + length - max(start, until))
        until = max(until, start + length)
    assert min(costs) >= 0.0
    assert math.isclose(sum(costs), busy, rel_tol=1e-9, abs_tol=1e-9)


def test_no_price_is_not_made_of_nothing() -> None:
    assert isinstance(book(m=Price(0.0, 0.0)).rates("", "m", "e"), Rates)


def test_what_is_prepared_is_kept_and_what_is_no_longer_wanted_is_forgotten() -> None:
    prices = book(m=Price(1.0, 1.0))
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
    held = [prices.rates("openai", model, "a") for model in ("gpt-5-mini", "gpt-5-nano")]
    before = [rates.table for rates in held if rates is not None]
    refreshing = True
    prices.refresh()
    assert before == [rates.table for rates in held if rates is not None]
    assert asked[1] is not None
