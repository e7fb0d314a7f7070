"""Who reads answers afterwards and says what they are worth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.settings.fields import ModelName, Number, Ratio, Secret, Section, Url, Whole

MOST_EVALUATORS = 32


class EvaluatorSection(Section):
    """One evaluator; what it finds has its name."""

    kind: Literal["http", "bleu", "chrf", "rouge"] = Field(
        description="http asks a judge of yours; bleu and chrf (by sacrebleu) and rouge compare the texts of pairs"
    )
    on: Literal["answers", "pairs"] = Field(
        default="pairs", description="answers: of requests; pairs: a request's and its copy's by a shadow"
    )
    models: tuple[ModelName, ...] = Field(
        default=(), max_length=1000, description='[chat, "openai/*"]; left out, all whose texts it may see'
    )
    share: Ratio | None = Field(
        default=None, description="what part of them, 0 to 1; left out, 0.01 of answers and all pairs"
    )
    url: Url | None = Field(default=None, description="http(s)://..., of kind http: where the judge is asked by POST")
    api_key: Secret | None = Field(default=None, description="sent as a bearer token, best as ${NAME} or ${file:/path}")
    timeout_s: Annotated[Number, Field(gt=0, le=600)] = Field(default=30.0, description="seconds; 30 is usual")
    concurrency: Whole = Field(default=4, ge=1, le=256, description="questions to the judge at once; 4 is usual")

    @property
    def part(self) -> float:
        """Of the answers or pairs."""
        return self.share if self.share is not None else 0.01 if self.on == "answers" else 1.0
