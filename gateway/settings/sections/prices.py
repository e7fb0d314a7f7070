"""The operator's prices."""

from __future__ import annotations

from pydantic import Field

from engines.settings.fields import Section, Usd


class Price(Section):
    """US dollars per million tokens; overrides the built-in table."""

    input_usd_per_mtok: Usd = Field(description="US dollars per million prompt tokens")
    cached_input_usd_per_mtok: Usd | None = Field(default=None, description="for cached ones; left out, as input")
    cache_write_usd_per_mtok: Usd | None = Field(
        default=None, description="for those written to a cache; left out, as input"
    )
    output_usd_per_mtok: Usd = Field(description="US dollars per million completion tokens")
    request_usd: Usd = Field(default=0.0, description="US dollars per request on top")
