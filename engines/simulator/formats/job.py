"""What a generation request asks for, whatever its wire format, and the contract its writer keeps."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from engines.simulator import tokens
from engines.simulator.formats.schemas import value_for
from engines.simulator.settings import SimulatorSettings

FINGERPRINT = "penstock-simulator"
"""Every answer names itself as simulated."""

MAX_CHOICES = 128
"""Sequences of one request (prompts times n): each is a seat in the engine."""

FinishReason = Literal["stop", "length", "tool_calls"]


class Refused(Exception):
    """The request gets an HTTP error instead of an answer."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param


def bad_request(message: str, param: str | None = None) -> Refused:
    return Refused(400, "BadRequestError", message, param)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool the model calls."""

    name: str
    parameters: dict[str, Any]


@dataclass(slots=True)
class Job:
    """One parsed generation request."""

    model: str | None
    prompts: list[list[int]]
    """Token ids, one list per prompt."""
    echoes: list[str]
    """What echo mode answers, one text per prompt."""
    choices_per_prompt: int = 1
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    stream: bool = False
    include_usage: bool = False
    tool: Tool | None = None
    may_call: Tool | None = None
    """The tool that it may call: for a share of such requests it does."""
    schema: dict[str, Any] | None = None
    """What a structured answer must fit."""
    top_logprobs: int | None = None
    """How many alternatives of each token are told; None tells no log probabilities."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Of the wire format's own."""
    plain_type: bytes = b"application/json"
    """The content type of its plain answer."""
    stream_type: bytes = b"text/event-stream; charset=utf-8"

    @property
    def prompt_tokens(self) -> int:
        return sum(map(len, self.prompts))


@dataclass(frozen=True, slots=True)
class Output:
    """One sequence that will be generated: decided before the first token, as nothing in it depends on time."""

    pieces: list[str]
    reason: FinishReason
    tool: Tool | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of the whole answer."""

    prompt: int
    completion: int
    cached: int


class Writer(Protocol):
    """Writes one answer in one wire format. Calls: opening, (tokens* finish) per choice, closing; or plain."""

    def opening(self) -> bytes:
        """Sent with the headers, before prefill."""

    def first(self, choice: int, counts: Counts) -> bytes:
        """Sent in front of a choice's first token."""

    def tokens(self, choice: int, start: int, count: int) -> bytes:
        """Pieces `start` to `start + count` of a choice, one event each."""

    def finish(self, choice: int) -> bytes:
        """A choice has all its tokens."""

    def closing(self, counts: Counts) -> bytes:
        """The whole answer is complete: usage and end marker."""

    def error(self, message: str) -> bytes:
        """An error in mid-stream and what vLLM sends after it."""

    def plain(self, counts: Counts, *, finished: bool = True) -> bytes:
        """The whole answer as one body; `finished` false leaves the finish reason out."""


def data_event(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def named_event(value: dict[str, Any]) -> bytes:
    """An event whose `event:` line repeats its `type`."""
    kind: str = value["type"]
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


def error_object(kind: str, message: str, param: str | None, code: int) -> dict[str, Any]:
    """vLLM's error shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def positive(value: int | None, name: str) -> int | None:
    if value is not None and value < 1:
        raise bad_request(f"{name} must be at least 1, got {value}.", name)
    return value


def check_lengths(job: Job, settings: SimulatorSettings) -> None:
    """Raises Refused where vLLM does: empty prompts, too many choices, more tokens than the context holds."""
    choices = len(job.prompts) * job.choices_per_prompt
    if not 1 <= choices <= MAX_CHOICES:
        raise bad_request(f"The request asks for {choices} choices; 1 to {MAX_CHOICES} are served.", "n")
    limit = settings.max_model_len
    for prompt in job.prompts:
        if not prompt:
            raise bad_request("The prompt is empty.", "prompt")
        wanted = job.max_tokens or 1
        if len(prompt) + wanted > limit:
            raise bad_request(
                f"This model's maximum context length is {limit} tokens. However, you requested "
                f"{len(prompt) + wanted} tokens ({len(prompt)} in the messages, {wanted} in the completion). "
                "Please reduce the length of the messages or completion."
            )
    if job.max_tokens is not None and job.min_tokens > job.max_tokens:
        raise bad_request(
            f"min_tokens must be at most max_tokens={job.max_tokens}, got {job.min_tokens}.", "min_tokens"
        )


def plan(job: Job, settings: SimulatorSettings, babble: tokens.Babble, rng: random.Random) -> list[Output]:
    """The outputs of a checked job, one per choice; whether it calls the tool that it may is drawn for all of them.

    Random mode generates exactly `max_tokens` where given, else the configured length; echo mode and tool calls
    end by themselves unless `ignore_eos` or `min_tokens` hold them open.
    """
    if job.may_call is not None and job.tool is None and rng.random() < settings.tool_call_rate:
        job.tool = job.may_call
    return [
        _plan_one(job, prompt, echo, settings, babble, rng)
        for prompt, echo in zip(job.prompts, job.echoes, strict=True)
        for _ in range(job.choices_per_prompt)
    ]


def _plan_one(
    job: Job, prompt: list[int], echo: str, settings: SimulatorSettings, babble: tokens.Babble, rng: random.Random
) -> Output:
    room = settings.max_model_len - len(prompt)
    most = room if job.max_tokens is None else min(job.max_tokens, room)
    if job.tool is not None:
        pieces = tokens.split(msgspec.json.encode(value_for(job.tool.parameters, rng)).decode())
        if len(pieces) > most:
            return Output(pieces[:most], "length", job.tool)
        return Output(pieces, "tool_calls", job.tool)
    if job.schema is not None:
        pieces = tokens.split(msgspec.json.encode(value_for(job.schema, rng)).decode())
        return Output(pieces[:most], "stop" if len(pieces) <= most else "length")
    natural = tokens.split(echo) if settings.mode == "echo" else None
    if natural is None:
        length = most if job.max_tokens is not None else max(settings.tokens, job.min_tokens)
        if job.max_tokens is None:
            return Output(babble.words(min(length, most)), "stop" if length <= most else "length")
        return Output(babble.words(length), "length")
    least = most if job.ignore_eos and job.max_tokens is not None else max(1, job.min_tokens)
    if len(natural) < least:
        natural += babble.words(least - len(natural))
        reason: FinishReason = "length" if least >= most else "stop"
    else:
        reason = "length" if len(natural) > most else "stop"
    return Output(natural[:most], reason)
