"""A form as the gateway reads it: the fields that we act on, and the place of its model's name.

Files are never looked into. A form goes up as it came, or with another name in the place of its model's, in one copy.
"""

from __future__ import annotations

import re
from typing import Final

from engines.multipart import NotAForm, Part, boundary_of, field, parts_of, text_of
from gateway.body.envelope import NO_MODEL, Envelope
from gateway.body.shapes import Body
from gateway.errors import Failure

MOST_NAME_BYTES: Final = 1024
FILE_BYTES: Final = 400
"""Of a file weigh as one byte of text: compressed speech has 1.6 kB to a token, and text 4 bytes (a picture's token
is not far from that). What a request will take of its engine is guessed from it until the engine has said better."""
_TRUE: Final = frozenset({"true", "1", "on", "yes", "t", "y"})
"""How a form says so, in any case (pydantic's words)."""
_OURS: Final = ("model", "stream")
"""The fields that are acted on, so each is there once and a text."""
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]+").fullmatch


class Form:
    """One request's form. Immutable."""

    __slots__ = ("_end", "_start", "content_type", "envelope", "weight_bytes")

    def __init__(self, body: bytes, content_type: bytes) -> None:
        """Raises Failure (400) that says what is wrong."""
        model: Part | None = None
        stream: bool | None = None
        weight = 0
        try:
            for part in parts_of(body, boundary_of(content_type)):
                size = part.end - part.start
                weight += size // FILE_BYTES if part.is_file else size
                if part.name not in _OURS:
                    continue
                if part.is_file:  # with an empty file name, to some readers, it is a text
                    raise NotAForm(f"the field {part.name!r} should have no file name")
                if part.name == "model":
                    if model is not None:
                        raise Failure("duplicate_model", "`model` is given more than once", "model")
                    model = part
                elif stream is not None:
                    raise NotAForm("the field 'stream' is given more than once")
                else:
                    stream = size <= 5 and text_of(body, part).lower() in _TRUE
            name = "" if model is None or model.end - model.start > MOST_NAME_BYTES else text_of(body, model)
        except NotAForm as error:
            raise Failure("invalid_form", f"the form cannot be read: {error}") from None
        if model is None or _NAME(name) is None:
            raise Failure("invalid_field", NO_MODEL, "model")
        self.content_type: Final = content_type
        self.envelope: Final = Envelope(Body(model=name, stream=stream is True), name)
        self.weight_bytes: Final = weight
        """What its prompt would be as text."""
        self._start, self._end = model.start, model.end

    def renamed(self, body: bytes, model: str) -> bytes:
        """The body that this was read from, under another model's name."""
        view = memoryview(body)
        return b"".join([view[: self._start], model.encode(), view[self._end :]])


def naming(body: bytes, content_type: bytes, model: str) -> bytes:
    """The body with this model, which its path names; as it is where it cannot be read, which is told by whoever reads
    it next."""
    try:
        form = Form(body, content_type)
    except Failure as failure:
        if failure.message != NO_MODEL:
            return body
    else:
        return body if form.envelope.model == model else form.renamed(body, model)
    return field(boundary_of(content_type), "model", model) + body
