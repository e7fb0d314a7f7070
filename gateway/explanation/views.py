"""What is told of a choice: as messages between the control plane and workers, and as JSON to whoever asked."""

from __future__ import annotations

import msgspec


class Weighed(msgspec.Struct, omit_defaults=True, frozen=True):
    """One endpoint, and what spoke for and against it."""

    engine: str
    replica: str
    model: str
    """The name that the upstream knows the model by."""
    tier: int
    state: str
    """`ready`, `unhealthy`, `draining`, `aside` (it refuses our credentials) or `breaker_open`."""
    passed_over: str = ""
    """Why a filter keeps the request from it."""
    full: bool = False
    """Known to have no room."""
    cached_tokens: int | None = None
    """Of the prompt, what it is believed to hold; nothing where the policy does not want to know."""
    cost_ms: float | None = None
    """Nothing where the policy adds nothing up."""
    terms_ms: dict[str, float] = {}
    """What the cost is the sum of; terms of 0 are left out."""


class ReplicaFigures(msgspec.Struct, omit_defaults=True, frozen=True):
    """What is known of one replica, beside any request."""

    engine: str
    replica: str
    requests: int
    """In flight there, this worker's."""
    tokens: int
    """Of those: prompt tokens to be prefilled and output tokens expected."""
    prefill_tokens: int
    """The prompts' share of `tokens`."""
    other_workers_requests: int = 0
    other_workers_tokens: int = 0
    engine_running: int | None = None
    """As the engine reported it last; nothing where it does not, or too long ago."""
    engine_waiting: int | None = None
    engine_kv_usage_ratio: float | None = None
    prefill_base_ms: float = 0.0
    """Of the time to a first token, what does not depend on the prompt."""
    prefill_ms_per_token: float = 0.0
    rates_learned: bool = False
    """Whether those two rest on what the replica did; else they are what is assumed of one that nobody knows."""
    cache_blocks: int | None = None
    """What the prefix index takes it to have room for; nothing where no policy wants to know."""
    held_blocks: int | None = None


class Decision(msgspec.Struct, omit_defaults=True, frozen=True):
    """One attempt of one request that was sent, with everything that was compared."""

    time: str
    request_id: str
    model: str
    attempt: int
    engine: str
    replica: str
    reason: str
    prompt_tokens: int
    output_tokens: int
    candidates: list[Weighed]
    waited_ms: float = 0.0
    arm: str = ""
    """The request's, where its model has an experiment."""


class Explained(msgspec.Struct, tag="routing_explained", omit_defaults=True, frozen=True):
    """The answer to `AskRouting`, from one worker: what would become of such a request now."""

    problem: str = ""
    """Why there is no answer; the rest is empty then."""
    policy: str = ""
    arm: str = ""
    """Whose way it is; empty where the model has no experiment."""
    operation: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    engine: str = ""
    """Where it would go; empty when nobody is available."""
    replica: str = ""
    reason: str = ""
    waits: bool = False
    """Whether it would wait in the gateway."""
    refused: bool = False
    """Whether it would be refused at once, since its first token would come later than the model's objective."""
    queued_requests: int = 0
    queued_tokens: int = 0
    candidates: list[Weighed] = []
    loads: list[ReplicaFigures] = []
    decisions: list[Decision] = []
    """The last ones of this model, newest first."""


class AskRouting(msgspec.Struct, tag="ask_routing", frozen=True):
    """Asks for `Explained`, and has the decisions of the model recorded for a while."""

    model: str
    operation: str = ""
    """Its path; empty for the first that the model speaks."""
    prompt_tokens: int = 1000
    output_tokens: int | None = None
    """The request's own bound; None where it sets none."""
    session: str = ""
    body: bytes = b""
    """A request's own body, in place of all of the above but the model."""
    arm: str = ""
    """Of the model's experiment; empty for the control."""
