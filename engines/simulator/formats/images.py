"""`/v1/images/generations` and `/edits`: one grey pixel, as often as asked for."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Final

import msgspec

from engines.multipart import NotAForm, boundary_of, parts_of, text_of
from engines.simulator import tokens
from engines.simulator.formats.job import bad_request
from engines.simulator.formats.pooling import Pooling
from engines.simulator.settings import SimulatorSettings

IMAGE_TOKENS: Final = 272
"""Of one picture that comes or is made; OpenAI's least."""
MOST: Final = 10


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PIXEL: Final = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\x80"))
    + _chunk(b"IEND", b"")
).decode()


class ImageRequest(msgspec.Struct):
    prompt: str
    model: str | None = None
    n: int | None = 1


def made(body: bytes, settings: SimulatorSettings) -> Pooling:
    """Raises msgspec.DecodeError or Refused."""
    return _work(msgspec.json.decode(body, type=ImageRequest), pictures=0)


def changed(body: bytes, content_type: bytes) -> Pooling:
    """A form with pictures. Raises Refused."""
    try:
        parts = parts_of(body, boundary_of(content_type))
        fields = {part.name: text_of(body, part) for part in parts if not part.is_file}
    except NotAForm as error:
        raise bad_request(f"The form cannot be read: {error}.") from None
    pictures = sum(part.is_file and part.name in ("image", "image[]") for part in parts)
    if not pictures:
        raise bad_request("image is missing.", "image")
    number = fields.get("n", "1")
    request = ImageRequest(fields.get("prompt", ""), fields.get("model"), int(number) if number.isdecimal() else 0)
    return _work(request, pictures=pictures)


def _work(request: ImageRequest, *, pictures: int) -> Pooling:
    prompt = tokens.encode(request.prompt)
    number = 1 if request.n is None else request.n
    if not 1 <= number <= MOST:
        raise bad_request(f"n must be 1 to {MOST}, got {number}.", "n")

    def write(id: str, created: int, model: str) -> bytes:
        before, after = len(prompt) + pictures * IMAGE_TOKENS, number * IMAGE_TOKENS
        usage = {
            "input_tokens": before,
            "input_tokens_details": {"text_tokens": len(prompt), "image_tokens": pictures * IMAGE_TOKENS},
            "output_tokens": after,
            "total_tokens": before + after,
        }
        return msgspec.json.encode({"created": created, "data": [{"b64_json": PIXEL}] * number, "usage": usage})

    return Pooling(request.model, [prompt], write)
