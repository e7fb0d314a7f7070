"""What a picker would do with a request, and why. Asking changes nothing, and is not for the request path."""

from __future__ import annotations

from dataclasses import dataclass

from routing.model import Endpoint


@dataclass(frozen=True, slots=True)
class Cost:
    """What one endpoint would cost, in milliseconds, term by term; `routing.choosing.costs` says what each is."""

    queue_ms: float = 0.0
    """Of our own requests and the other workers', what is to be prefilled there first."""
    foreign_ms: float = 0.0
    """Of what its engine reports beyond those."""
    load_ms: float = 0.0
    failures_ms: float = 0.0
    limits_ms: float = 0.0
    """Of a provider whose limits are nearly used up."""
    prefill_ms: float = 0.0
    others_ms: float = 0.0
    eviction_ms: float = 0.0
    affinity_ms: float = 0.0
    """Below 0 on the home of the prompt, and, where several gateways choose, on who holds it."""
    start_ms: float = 0.0
    zone_ms: float = 0.0
    price_ms: float = 0.0
    lateness_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """What is compared."""
        return sum([ms for _, ms in self.terms()])

    def terms(self) -> list[tuple[str, float]]:
        """Each term, by name."""
        return [
            ("queue", self.queue_ms),
            ("foreign", self.foreign_ms),
            ("load", self.load_ms),
            ("failures", self.failures_ms),
            ("limits", self.limits_ms),
            ("prefill", self.prefill_ms),
            ("others", self.others_ms),
            ("eviction", self.eviction_ms),
            ("affinity", self.affinity_ms),
            ("start", self.start_ms),
            ("zone", self.zone_ms),
            ("price", self.price_ms),
            ("lateness", self.lateness_ms),
        ]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the picker of one tier would do now."""

    chosen: Endpoint | None
    rule: str
    """By which rule, as the end of "the one ..."."""
    costs: tuple[Cost, ...] = ()
    """Of each endpoint of the pool, in its order; empty where the policy adds nothing up."""
    ttft_ms: float | None = None
    """When the chosen one's first token should come, where the policy predicts it."""
    late: bool = False
    """Whether that misses the objective, so that the next tier is asked first."""
