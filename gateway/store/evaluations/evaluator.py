"""The evaluators of a configuration, as the store is told of them, and whose answers each is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.wildcard_names import is_wildcard, label_of
from routing.experiments.shadowing import ShadowSample

if TYPE_CHECKING:
    from gateway.settings.schema import Settings

SALT = "evaluator"


class Evaluator(msgspec.Struct, frozen=True):
    """One of them."""

    name: str
    kind: Literal["http", "bleu", "chrf", "rouge"]
    pairs: bool
    """Whether it is given pairs of answers; else answers."""
    models: tuple[str, ...]
    """Empty: all."""
    share: float
    url: str = ""
    api_key: str = ""
    timeout_s: float = 30.0
    concurrency: int = 4
    configured: tuple[str, ...] = ()
    """All models there are, where some of `models` stand for many names."""

    def takes(self, model: str, record_id: str) -> bool:
        """Whether it is given this one: a pure function of the id of the record, of a pair the original's."""
        if self.models and model not in self.models and label_of(model, self.configured) not in self.models:
            return False
        return ShadowSample(SALT, self.name, self.share).takes(record_id)


def evaluators_of(settings: Settings) -> list[Evaluator]:
    """Those of a configuration."""
    return [
        Evaluator(
            name,
            section.kind,
            section.on == "pairs",
            section.models,
            section.part,
            section.url or "",
            "" if section.api_key is None else section.api_key.get_secret_value(),
            section.timeout_s,
            section.concurrency,
            tuple(settings.models) if any(map(is_wildcard, section.models)) else (),
        )
        for name, section in settings.evaluators.items()
    ]
