"""The operator's prices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engines.settings.fields import Section, Usd


class Rate(Section):
    """US dollars per million tokens, and of what is charged otherwise."""

    input_usd_per_mtok: Usd = Field(default=0.0, description="US dollars per million prompt tokens")
    cached_input_usd_per_mtok: Usd | None = Field(default=None, description="for cached ones; left out, as input")
    cache_write_usd_per_mtok: Usd | None = Field(
        default=None, description="for those written to a cache; left out, as input"
    )
    cache_write_1h_usd_per_mtok: Usd | None = Field(
        default=None, description="for those that are kept for an hour; left out, as any written to a cache"
    )
    output_usd_per_mtok: Usd = Field(default=0.0, description="US dollars per million completion tokens")
    reasoning_usd_per_mtok: Usd | None = Field(default=None, description="for reasoning; left out, as output")
    input_audio_usd_per_mtok: Usd | None = Field(default=None, description="for sound; left out, as input")
    cached_audio_usd_per_mtok: Usd | None = Field(
        default=None, description="for cached sound; left out, as sound, or as cached ones"
    )
    output_audio_usd_per_mtok: Usd | None = Field(default=None, description="for sound made; left out, as output")
    input_image_usd_per_mtok: Usd | None = Field(default=None, description="for pictures; left out, as input")
    cached_image_usd_per_mtok: Usd | None = Field(
        default=None, description="for cached pictures; left out, as pictures, or as cached ones"
    )
    output_image_usd_per_mtok: Usd | None = Field(default=None, description="for pictures made; left out, as output")
    input_video_usd_per_mtok: Usd | None = Field(default=None, description="for video; left out, as input")
    output_video_usd_per_mtok: Usd | None = Field(default=None, description="for video made; left out, as output")
    audio_usd_per_hour: Usd | None = Field(default=None, description="US dollars per hour of sound heard")
    characters_usd_per_million: Usd | None = Field(default=None, description="US dollars per million characters spoken")
    image_usd: Usd | None = Field(default=None, description="US dollars per picture made")
    page_usd: Usd | None = Field(default=None, description="US dollars per page read")
    search_usd: Usd | None = Field(default=None, description="US dollars per search of a reranker")
    web_search_usd: Usd | None = Field(default=None, description="US dollars per search of the web")
    file_search_usd: Usd | None = Field(default=None, description="US dollars per search of files")
    request_usd: Usd = Field(default=0.0, description="US dollars per request on top")


class Price(Rate):
    """US dollars per million tokens; overrides the built-in table."""

    above_input_tokens: dict[Annotated[int, Field(ge=1)], Rate] = Field(
        default_factory=dict, description="by a number of input tokens: the prices of requests with more"
    )
    tiers: dict[str, Rate] = Field(
        default_factory=dict, description="by a service tier that answers name (flex, priority, batch): its prices"
    )
