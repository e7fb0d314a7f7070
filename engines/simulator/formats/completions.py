"""`POST /v1/completions`, as vLLM answers it: as chat, with `text` for a delta and no role chunk."""

from __future__ import annotations

from typing import Any

import msgspec

from engines.simulator import tokens
from engines.simulator.formats import logprobs
from engines.simulator.formats.chat import StreamOptions, usage
from engines.simulator.formats.job import FINGERPRINT, Counts, Job, Output, data_event, error_object, positive


class CompletionRequest(msgspec.Struct):
    """The fields acted on; all others are accepted and ignored."""

    prompt: str | list[Any]
    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = 16
    min_tokens: int | None = 0
    ignore_eos: bool | None = False
    n: int | None = 1
    echo: bool | None = False
    logprobs: int | None = None


_decoder = msgspec.json.Decoder(CompletionRequest)


def parse(body: bytes) -> Job:
    """Raises msgspec.DecodeError or Refused."""
    request = _decoder.decode(body)
    prompts = prompts_of(request.prompt)
    return Job(
        model=request.model,
        prompts=prompts,
        echoes=[tokens.decode(prompt) for prompt in prompts],
        choices_per_prompt=positive(request.n, "n") or 1,
        max_tokens=positive(request.max_tokens, "max_tokens"),
        min_tokens=request.min_tokens or 0,
        ignore_eos=bool(request.ignore_eos),
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        top_logprobs=request.logprobs,
        fields={"echoed": [[tokens.decode([token]) for token in prompt] for prompt in prompts]} if request.echo else {},
    )


def prompts_of(prompt: str | list[Any]) -> list[list[int]]:
    """Token ids of each prompt: a text, token ids, or a list of either. Raises msgspec.ValidationError."""
    if isinstance(prompt, str):
        return [tokens.encode(prompt)]
    if prompt and type(prompt[0]) is int:
        return [msgspec.convert(prompt, list[int])]
    several = msgspec.convert(prompt, list[str | list[int]])
    return [tokens.encode(one) if isinstance(one, str) else one for one in several]


class CompletionWriter:
    def __init__(self, job: Job, outputs: list[Output], id: str, created: int, model: str) -> None:
        self._job, self._outputs = job, outputs
        self._head = {
            "id": f"cmpl-{id}",
            "object": "text_completion",
            "created": created,
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        head = b"data: " + msgspec.json.encode(self._head)[:-1] + b',"choices":[{"index":'
        self._before = [head + b"%d" % index + b',"text":' for index in range(len(outputs))]
        self._after = b',"logprobs":null,"finish_reason":null,"stop_reason":null}]}\n\n'

    def opening(self) -> bytes:
        return b""

    def first(self, choice: int, counts: Counts) -> bytes:
        echoed = self._echoed(choice)
        return data_event({**self._head, "choices": [self._choice(choice, "".join(echoed), None)]}) if echoed else b""

    def _echoed(self, choice: int) -> list[str]:
        """The pieces of the prompt that stand in front of the answer."""
        prompts: list[list[str]] = self._job.fields.get("echoed", [])
        return prompts[choice // self._job.choices_per_prompt] if prompts else []

    def _likely(self, choice: int, prompt: list[str], pieces: list[str]) -> dict[str, Any] | None:
        wanted = self._job.top_logprobs
        return None if wanted is None else logprobs.of_text(prompt, pieces, wanted)

    def tokens(self, choice: int, start: int, count: int) -> bytes:
        pieces, before, after = self._outputs[choice].pieces, self._before[choice], self._after
        if self._job.top_logprobs is not None:
            told = [
                {**self._choice(choice, piece, None), "logprobs": self._likely(choice, [], [piece])}
                for piece in pieces[start : start + count]
            ]
            return b"".join([data_event({**self._head, "choices": [one]}) for one in told])
        return b"".join([before + msgspec.json.encode(piece) + after for piece in pieces[start : start + count]])

    def _choice(self, choice: int, text: str, reason: str | None) -> dict[str, Any]:
        return {"index": choice, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": None}

    def finish(self, choice: int) -> bytes:
        return data_event({**self._head, "choices": [self._choice(choice, "", self._outputs[choice].reason)]})

    def closing(self, counts: Counts) -> bytes:
        if not self._job.include_usage:
            return b"data: [DONE]\n\n"
        return data_event({**self._head, "choices": [], "usage": usage(counts)}) + b"data: [DONE]\n\n"

    def error(self, message: str) -> bytes:
        return data_event(error_object("InternalServerError", message, None, 500)) + b"data: [DONE]\n\n"

    def plain(self, counts: Counts, *, finished: bool = True) -> bytes:
        choices = []
        for index, output in enumerate(self._outputs):
            echoed = self._echoed(index)
            text = "".join([*echoed, *output.pieces])
            choice = self._choice(index, text, output.reason if finished else None)
            choices.append({**choice, "logprobs": self._likely(index, echoed, output.pieces)})
        return msgspec.json.encode({**self._head, "choices": choices, "usage": usage(counts)})
