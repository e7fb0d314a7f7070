"""Whether a stream outlives its engine."""

from __future__ import annotations

from pydantic import Field

from engines.settings.fields import Section, Whole


class ContinuationSection(Section):
    """A stream whose engine dies goes on at another replica of the same model, from the prompt and the text so far."""

    enabled: bool = Field(default=False, description="true keeps prompts until streams end, and continues what breaks")
    per_request: Whole = Field(default=1, ge=1, le=10, description="how often one request may be continued, 1 to 10")
