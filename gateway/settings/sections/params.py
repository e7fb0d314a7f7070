"""What the gateway writes into the bodies of a model's requests, or of those of one arm of its experiment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from engines.settings.fields import Number, Section, Whole

Prose = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]


class NumberEdit(Section):
    """One number of a body. `set` goes with none of the others."""

    set: Number | None = Field(default=None, ge=0, le=1000, description="written into every request")
    default: Number | None = Field(default=None, ge=0, le=1000, description="written where the client says nothing")
    min: Number | None = Field(default=None, ge=0, le=1000, description="what is below it becomes it")
    max: Number | None = Field(default=None, ge=0, le=1000, description="what is above it becomes it")


class WholeEdit(Section):
    """One whole number of a body. `set` goes with none of the others."""

    set: Whole | None = Field(default=None, ge=1, le=10**9, description="written into every request")
    default: Whole | None = Field(default=None, ge=1, le=10**9, description="written where the client says nothing")
    min: Whole | None = Field(default=None, ge=1, le=10**9, description="what is below it becomes it")
    max: Whole | None = Field(default=None, ge=1, le=10**9, description="what is above it becomes it, or is missing")


class ParamsSection(Section):
    """Edits of requests that generate text; of others nothing is changed."""

    temperature: NumberEdit | None = Field(default=None, description="{set: 0.2} or {default: 0.7, max: 1}")
    top_p: NumberEdit | None = Field(default=None, description="{set: 0.9} or {max: 1}")
    max_tokens: WholeEdit | None = Field(
        default=None, description="of output, whichever name the client's format has for it: {max: 512}"
    )
    system_prefix: Prose | None = Field(
        default=None, description="text that stands before the system prompt, or is one where there is none"
    )
