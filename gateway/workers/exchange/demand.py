"""What workers and the control plane say to each other of engines that follow their traffic: what there is to do for
them, which of them are asked for and run nowhere, and when they will. Part of `gateway.workers.exchange.messages`."""

from __future__ import annotations

import msgspec


class Woken(msgspec.Struct, tag="woken"):
    """Requests came for these engines, which have no replica."""

    engines: list[str]


class EngineStart(msgspec.Struct, array_like=True, frozen=True):
    """What a request that comes for an engine without replicas may expect."""

    engine: str
    serves_in_s: float
    """From when one is asked for, or from now where one is."""
    starting: bool = False
    """Whether one is on its way."""
    failed: bool = False
    """The last start failed, and the next is tried in so many seconds."""


class EngineStarts(msgspec.Struct, tag="engine_starts"):
    """What is new of these engines."""

    starts: list[EngineStart]


class AskDemand(msgspec.Struct, tag="ask_demand"):
    """Asks for `Demand`: what there is to do for these engines, and for all models where that is asked."""

    engines: list[str]
    models: bool = False


class EngineDemand(msgspec.Struct, array_like=True, frozen=True):
    """What one worker has to do for one engine, and how fast its replicas have been found to be (0: not known)."""

    engine: str
    in_flight: int
    prefill_tokens: int
    """Of prompts that were sent and are not computed yet, as far as anybody knows."""
    waiting: int
    """Requests in the lines of models that ask this engine first."""
    waiting_tokens: int
    """Of their prompts."""
    ended: int
    """Requests that have ended, ever, and their tokens; those that another engine served in its place among them."""
    ended_tokens: int
    """Of prompts, those that were cached left out."""
    ended_output_tokens: int
    ms_per_token: float
    base_ms: float
    decode_ms_per_token: float
    replicas: list[tuple[str, int, bool]]
    """Requests in flight, and whether it drains, of each replica of which either is so."""
    in_flight_tokens: int = 0
    """Of requests in flight: prompts that are not computed yet, and outputs that are expected still."""


class ModelDemand(msgspec.Struct, array_like=True, frozen=True):
    """What one worker has to do for one model, in all its arms."""

    model: str
    engines: list[str]
    """Those that it asks before any other."""
    in_flight: int
    in_flight_tokens: int
    """An engine's, shared out among its models by their requests."""
    waiting: int
    waiting_tokens: int
    """Prompts, and outputs that are expected."""
    waiting_prompt_tokens: int
    ended: int
    """Requests that have ended, ever, and their tokens, those of prompts without cached ones."""
    ended_tokens: int
    ended_output_tokens: int


class Demand(msgspec.Struct, tag="demand"):
    """The answer to `AskDemand`."""

    engines: list[EngineDemand]
    models: list[ModelDemand] = []
