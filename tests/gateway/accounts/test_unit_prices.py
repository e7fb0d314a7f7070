"""What is charged by something else than tokens: sound, characters, pictures, pages, searches."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as LibraryUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from engines.model import Parts, Units, Usage
from gateway.accounts.prices import PriceBook, Rates
from gateway.settings.sections.prices import Price, Rate
from tests.gateway.accounts.test_prices import NOW, all_models

IN_UNITS = ("audio_hours", "input_audio_hours", "input_mchars", "input_document_kpages")
BESIDE = ("web_searches_kcount", "storage_searches_kcount")
HEARD, SPOKEN, READ = Units(audio_seconds=7200.0), Units(characters=2_000_000), Units(pages=3_000)


def rates_of(provider: str, model: str) -> Rates:
    rates = PriceBook({}, lambda: NOW).rates(provider, model, "e")
    assert rates is not None
    return rates


def configured(**said: Any) -> Rates:
    rates = PriceBook({"m": Price(**said)}, lambda: NOW).rates("", "m", "e")
    assert rates is not None
    return rates


def library_usd(provider: str, model: str, **usage: float) -> Decimal:
    return calc_price(LibraryUsage(**usage), model, provider_id=provider, genai_request_timestamp=NOW).total_price


def priced_by(*kinds: str) -> list[tuple[str, str, set[str]]]:
    known = set(all_models())
    found = []
    for provider in get_snapshot().providers:
        for model in provider.models:
            price = vars(model.get_prices(NOW))
            by = {kind for kind in kinds if price.get(kind) is not None}
            if by and (provider.id, model.id) in known:
                found.append((provider.id, model.id, by))
    return found


def test_every_model_by_the_hour_the_character_or_the_page_costs_what_the_library_says() -> None:
    swept = 0
    for provider, model, by in priced_by(*IN_UNITS):
        rates = PriceBook({}, lambda: NOW).rates(provider, model, "e")
        if rates is None or rates.tables.by_token:
            continue
        swept += 1
        if by & {"audio_hours", "input_audio_hours"}:
            usage, library = HEARD, {"audio_seconds": 7200.0, "input_audio_seconds": 7200.0}
        elif "input_mchars" in by:
            usage, library = SPOKEN, {"input_characters": 2_000_000}
        else:
            usage, library = READ, {"input_document_pages": 3_000}
        cost = rates.cost_usd(Usage(0, 0, units=usage))
        assert cost == pytest.approx(float(library_usd(provider, model, **library)), rel=1e-9), model
        assert rates.cost_usd(Usage(100, 5)) is None, model
    assert swept > 15


def test_every_model_with_searches_costs_what_the_library_says() -> None:
    swept = 0
    for provider, model, by in priced_by(*BESIDE):
        if model == "sonar-deep-research":  # it has a price of citations, too
            continue
        rates = rates_of(provider, model)
        web, files = 3 * ("web_searches_kcount" in by), 2 * ("storage_searches_kcount" in by)
        usage = Usage(1_000, 500, units=Units(web_searches=web, file_searches=files))
        library = library_usd(
            provider, model, input_tokens=1_000, output_tokens=500, web_searches=web, storage_searches=files
        )
        assert rates.cost_usd(usage) == pytest.approx(float(library), rel=1e-9), model
        swept += 1
    assert swept > 80


def test_a_search_whose_price_nobody_knows_makes_the_whole_unknown() -> None:
    rates = configured(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)
    assert rates.cost_usd(Usage(1_000_000, 0)) == 1.0
    assert rates.cost_usd(Usage(1_000_000, 0, units=Units(web_searches=1))) is None
    assert rates.cost_usd(Usage(1_000_000, 0, units=Units(file_searches=1))) is None


def test_a_reranker_with_a_price_of_tokens_is_not_paid_by_the_search_too() -> None:
    rates = configured(input_usd_per_mtok=1.0)
    assert rates.cost_usd(Usage(1_000_000, 0, units=Units(searches=1))) == 1.0


def test_what_tokens_pay_for_is_not_paid_by_the_second_too() -> None:
    rates = configured(input_usd_per_mtok=1.0)
    assert rates.cost_usd(Usage(1_000_000, 0, units=Units(audio_seconds=60.0))) == 1.0


def test_sound_that_is_charged_by_the_hour_and_whose_length_is_not_told_is_unknown() -> None:
    rates = rates_of("mistral", "voxtral-small-24b-2507")
    text, spoken = Usage(1_000, 10), Usage(1_000, 10, parts=Parts(input_audio_tokens=900))
    told = Usage(1_000, 10, units=Units(audio_seconds=3600.0))
    assert rates.cost_usd(text) is not None
    assert rates.cost_usd(spoken) is None
    hour = library_usd(
        *("mistral", "voxtral-small-24b-2507"),
        input_tokens=1_000,
        output_tokens=10,
        audio_seconds=3600.0,
        input_audio_seconds=3600.0,
    )
    assert rates.cost_usd(told) == pytest.approx(float(hour))


def test_a_price_with_a_part_that_is_not_reckoned_with_is_none() -> None:
    assert PriceBook({}, lambda: NOW).rates("perplexity", "sonar-deep-research", "e") is None


@pytest.mark.parametrize(
    ("said", "units", "usd"),
    [
        ({"audio_usd_per_hour": 0.36}, Units(audio_seconds=30.0), 0.003),
        ({"characters_usd_per_million": 15.0}, Units(characters=200), 0.003),
        ({"image_usd": 0.04}, Units(images=2), 0.08),
        ({"page_usd": 0.002}, Units(pages=3), 0.006),
        ({"search_usd": 0.002}, Units(searches=1), 0.002),
    ],
)
def test_an_operators_price_may_be_of_anything(said: dict[str, float], units: Units, usd: float) -> None:
    rates = configured(**said)
    assert rates.cost_usd(Usage(0, 0, units=units)) == usd
    assert rates.cost_usd(Usage(0, 0)) is None
    other = Units(images=1) if units.pages else Units(pages=1)
    assert rates.cost_usd(Usage(0, 0, units=other)) is None


def test_an_operators_price_has_all_kinds_of_tokens() -> None:
    rates = configured(
        input_usd_per_mtok=1.0,
        output_usd_per_mtok=10.0,
        cached_input_usd_per_mtok=0.5,
        cache_write_usd_per_mtok=2.0,
        cache_write_1h_usd_per_mtok=3.0,
        reasoning_usd_per_mtok=20.0,
        input_audio_usd_per_mtok=4.0,
        output_audio_usd_per_mtok=40.0,
        input_image_usd_per_mtok=5.0,
        output_image_usd_per_mtok=50.0,
        input_video_usd_per_mtok=6.0,
        output_video_usd_per_mtok=60.0,
        web_search_usd=0.01,
    )
    million = 1_000_000
    each = {
        1.0: Usage(million, 0),
        10.0: Usage(0, million),
        0.5: Usage(million, 0, million),
        2.0: Usage(million, 0, 0, million),
        3.0: Usage(million, 0, 0, million, parts=Parts(cache_write_1h_tokens=million)),
        20.0: Usage(0, million, reasoning_tokens=million),
        4.0: Usage(million, 0, parts=Parts(input_audio_tokens=million)),
        40.0: Usage(0, million, parts=Parts(output_audio_tokens=million)),
        5.0: Usage(million, 0, parts=Parts(input_image_tokens=million)),
        50.0: Usage(0, million, parts=Parts(output_image_tokens=million)),
        6.0: Usage(million, 0, parts=Parts(input_video_tokens=million)),
        60.0: Usage(0, million, parts=Parts(output_video_tokens=million)),
        1.03: Usage(million, 0, units=Units(web_searches=3)),
    }
    assert {usd: rates.cost_usd(usage) for usd, usage in each.items()} == {usd: usd for usd in each}


def test_an_operators_price_has_tiers_and_prices_of_long_prompts() -> None:
    rates = configured(
        input_usd_per_mtok=1.0,
        above_input_tokens={200_000: Rate(input_usd_per_mtok=2.0)},
        tiers={"flex": Rate(input_usd_per_mtok=0.5)},
    )
    assert rates.cost_usd(Usage(200_000, 0)) == 0.2
    assert rates.cost_usd(Usage(200_001, 0)) == 0.400002
    assert rates.cost_usd(Usage(100_000, 0, tier="flex")) == 0.05
    assert rates.cost_usd(Usage(100_000, 0, tier="priority")) == 0.1
