"""What a model's records hold beside figures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from engines.settings.fields import KIB, MIB, ByteSize, Ratio, Section

Hook = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$", max_length=256)]


class Recording(Section):
    """Whether prompts and answers are kept. They are not, unless it is written out."""

    content: bool = Field(default=False, description="true keeps the prompt and the answer of each request")
    redact: Hook | None = Field(
        default=None, description="module:function, which is given each content and returns what may be kept of it"
    )
    content_bytes: ByteSize = Field(
        default=64 * KIB, ge=KIB, le=MIB, description="kept of a prompt, and of an answer, at most: 1 KiB to 1 MiB"
    )
    text_share: Ratio = Field(
        default=0.01,
        description="what part of its answers the store reads for drift (refusals in words, scripts, JSON) and forgets "
        "at once, 0 to 1; 0.01 is usual, 0 for none",
    )
