"""`/v1/audio/...`: a sound is heard as made-up words, and words are spoken as a tone.

How long a sound is, is guessed from its size, as nothing decodes it. Transcriptions are answered and streamed as vLLM
does: usage says seconds, and in a stream, where it was asked for, tokens.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from typing import Any, Final

import msgspec

from engines.multipart import NotAForm, boundary_of, parts_of, text_of
from engines.simulator import tokens
from engines.simulator.formats.chat import usage
from engines.simulator.formats.job import Counts, Job, Output, bad_request, data_event, error_object

BYTES_PER_S: Final = 16_000
"""Of a sound that is heard: compressed speech."""
TOKENS_PER_S: Final = 10
MOST_S: Final = 3600
RATE_HZ: Final = 24_000
TOKEN_S: Final = 0.1
"""As long one token of speech sounds."""
_SAMPLES: Final = int(RATE_HZ * TOKEN_S)
_TONE: Final = array("h", [int(6000 * math.sin(2 * math.pi * 440 * n / RATE_HZ)) for n in range(_SAMPLES)]).tobytes()
_SPOKEN: Final = ("wav", "pcm", "mp3", "opus", "aac", "flac")
_TEXTS: Final = {"json": b"application/json", "verbose_json": b"application/json", "text": b"text/plain; charset=utf-8"}


def heard(body: bytes, content_type: bytes) -> Job:
    """A form with a sound. Raises Refused."""
    try:
        parts = parts_of(body, boundary_of(content_type))
        fields = {part.name: text_of(body, part) for part in parts if not part.is_file}
    except NotAForm as error:
        raise bad_request(f"The form cannot be read: {error}.") from None
    sound = next((body[part.start : part.end] for part in parts if part.is_file and part.name == "file"), b"")
    if not sound:
        raise bad_request("file is missing.", "file")
    form = fields.get("response_format", "json")
    if form not in _TEXTS:
        raise bad_request(f"Currently only {', '.join(_TEXTS)} are served as response_format, not {form}.")
    seconds = min(MOST_S, max(1, len(sound) // BYTES_PER_S))
    seed = zlib.crc32(sound)
    prompt = [seed + at for at in range(seconds * TOKENS_PER_S)]
    return Job(
        model=fields.get("model"),
        prompts=[prompt],
        echoes=[f"A sound of {seconds} s and {len(sound)} bytes."],
        stream=fields.get("stream", "").lower() in ("true", "1"),
        include_usage=fields.get("stream_include_usage", "").lower() in ("true", "1"),
        fields={"seconds": seconds, "form": form},
        plain_type=_TEXTS[form],
    )


class HeardWriter:
    """Writes a transcription."""

    def __init__(self, job: Job, outputs: list[Output], id: str, created: int, model: str) -> None:
        self._job, self._output = job, outputs[0]
        self._head = {"id": f"trsc-{id}", "object": "transcription.chunk", "created": created, "model": model}

    def opening(self) -> bytes:
        return b""

    def first(self, choice: int, counts: Counts) -> bytes:
        return b""

    def tokens(self, choice: int, start: int, count: int) -> bytes:
        pieces = self._output.pieces[start : start + count]
        return b"".join([data_event({**self._head, "choices": [{"delta": {"content": piece}}]}) for piece in pieces])

    def finish(self, choice: int) -> bytes:
        last = {"delta": {"content": ""}, "finish_reason": self._output.reason, "stop_reason": None}
        return data_event({**self._head, "choices": [last]})

    def closing(self, counts: Counts) -> bytes:
        if not self._job.include_usage:
            return b"data: [DONE]\n\n"
        return data_event({**self._head, "choices": [], "usage": usage(counts)}) + b"data: [DONE]\n\n"

    def error(self, message: str) -> bytes:
        return data_event(error_object("InternalServerError", message, None, 500)) + b"data: [DONE]\n\n"

    def plain(self, counts: Counts, *, finished: bool = True) -> bytes:
        said, seconds = "".join(self._output.pieces), self._job.fields["seconds"]
        if self._job.fields["form"] == "text":
            return said.encode()
        told: dict[str, Any] = {"text": said, "usage": {"type": "duration", "seconds": seconds}}
        if self._job.fields["form"] == "verbose_json":
            told = {"task": "transcribe", "language": "en", "duration": seconds, **told, "segments": []}
        return msgspec.json.encode(told)


class SpeechRequest(msgspec.Struct):
    input: str
    model: str | None = None
    response_format: str | None = None


def spoken(body: bytes) -> Job:
    """A text to say. Raises msgspec.DecodeError or Refused."""
    request = msgspec.json.decode(body, type=SpeechRequest)
    form = request.response_format or "wav"
    if form not in _SPOKEN:
        raise bad_request(f"response_format must be one of {', '.join(_SPOKEN)}, not {form}.", "response_format")
    return Job(
        model=request.model,
        prompts=[tokens.encode(request.input)],
        echoes=[request.input],
        stream=True,
        fields={"form": form},
        stream_type=b"audio/pcm" if form == "pcm" else b"audio/wav",
    )


class SpokenWriter:
    """Writes speech: a tone of so many tokens, as PCM, or as WAV whatever else was asked for."""

    def __init__(self, job: Job, outputs: list[Output], id: str, created: int, model: str) -> None:
        size = len(outputs[0].pieces) * len(_TONE)
        self._head = b"" if job.fields["form"] == "pcm" else wav_head(size)

    def opening(self) -> bytes:
        return b""

    def first(self, choice: int, counts: Counts) -> bytes:
        return self._head

    def tokens(self, choice: int, start: int, count: int) -> bytes:
        return _TONE * count

    def finish(self, choice: int) -> bytes:
        return b""

    def closing(self, counts: Counts) -> bytes:
        return b""

    def error(self, message: str) -> bytes:
        return b""

    def plain(self, counts: Counts, *, finished: bool = True) -> bytes:
        raise AssertionError("speech is streamed")


def wav_head(size: int) -> bytes:
    """Of so many bytes of one channel with 16 bits."""
    rate = RATE_HZ * 2
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)
