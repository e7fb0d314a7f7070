"""An operator's prices, compiled."""

from __future__ import annotations

from gateway.accounts.prices import PICO, PartsRow, PriceOverride, RateOverride, Row, Table, Tables, UnitsRow


def override_tables(price: PriceOverride) -> Tables:
    """All that the configuration says of one model."""
    thresholds = tuple(sorted(price.above_input_tokens))
    rows = (_row(price), *(_row(price.above_input_tokens[above]) for above in thresholds))
    units = _units(price)
    row = rows[0]
    by_token = units is None or bool(row.per_input or row.per_output or row.per_request)
    by_tier = {tier: Table((), (_row(rates),)) for tier, rates in price.tiers.items()}
    return Tables(Table(thresholds, rows), by_tier, False, units, by_token)


def _row(price: RateOverride) -> Row:
    def rate(usd_per_mtok: float | None, whole: int) -> int:
        """As much as `whole`, of which it is a part, where it has no price of its own."""
        return whole if usd_per_mtok is None else round(usd_per_mtok * 1e6)

    of_input, of_output = round(price.input_usd_per_mtok * 1e6), round(price.output_usd_per_mtok * 1e6)
    cached, written = rate(price.cached_input_usd_per_mtok, of_input), rate(price.cache_write_usd_per_mtok, of_input)
    audio, image = rate(price.input_audio_usd_per_mtok, of_input), rate(price.input_image_usd_per_mtok, of_input)
    # What is cached and audio both costs as much as either, as in the library.
    cached_audio = rate(price.cached_audio_usd_per_mtok, cached if audio == of_input else audio)
    cached_image = rate(price.cached_image_usd_per_mtok, cached if image == of_input else image)
    parts = PartsRow(
        input_audio=audio - of_input,
        input_image=image - of_input,
        output_audio=rate(price.output_audio_usd_per_mtok, of_output) - of_output,
        output_image=rate(price.output_image_usd_per_mtok, of_output) - of_output,
        cached_audio=cached_audio - cached - audio + of_input,
        cached_image=cached_image - cached - image + of_input,
        cache_write_1h=rate(price.cache_write_1h_usd_per_mtok, written) - written,
        input_video=rate(price.input_video_usd_per_mtok, of_input) - of_input,
        output_video=rate(price.output_video_usd_per_mtok, of_output) - of_output,
    )
    return Row(
        of_input,
        cached - of_input,
        written - of_input,
        of_output,
        rate(price.reasoning_usd_per_mtok, of_output) - of_output,
        round(price.request_usd * PICO),
        parts if any(parts) else None,
    )


def _units(price: RateOverride) -> UnitsRow | None:
    def each(usd: float | None) -> int | None:
        return None if usd is None else round(usd * PICO)

    characters = price.characters_usd_per_million
    units = UnitsRow(
        each(price.audio_usd_per_hour),
        None if characters is None else round(characters * 1e6),
        each(price.image_usd),
        each(price.page_usd),
        each(price.search_usd),
        each(price.web_search_usd),
        each(price.file_search_usd),
    )
    return units if any(one is not None for one in units) else None
