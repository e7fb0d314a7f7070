"""What is parsed of a request body: of each object the members we act on.

Their defaults are not all literals, so this module is not compiled; `gateway.body.envelope` says what they mean.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engines.wire import lone_surrogates
from gateway.body.one_model import Name

NULL = msgspec.Raw(b"null")
ONE = msgspec.Raw(b"1")


class StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class Body(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: msgspec.Raw = ONE  # whatever it is, it is the engine's to judge
    # Who asks (`gateway.experiments.units`).
    safety_identifier: str | None = None
    user: str | None = None
    metadata: Metadata | None = None


MAX_ASKING_BYTES: Final = 64 * 1024
"""Of a member that says who asks: OpenAI's `metadata` has 16 pairs of 576 characters, a larger one is none of a client
that is told apart by it. To look through 16 MiB of it takes another 20 ms."""


class LooseBody(msgspec.Struct):
    """Everything but the model, where a limit may be no whole number, or something else, and who asks no text: the
    engine's to judge."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: msgspec.Raw = NULL
    max_completion_tokens: msgspec.Raw = NULL
    max_output_tokens: msgspec.Raw = NULL
    n: msgspec.Raw = ONE
    safety_identifier: msgspec.Raw = NULL
    user: msgspec.Raw = NULL
    metadata: msgspec.Raw = NULL

    def body(self, model: str | None) -> Body:
        """With the limits as far as they can be understood: what a request costs is guessed from them. Who asks is
        known only where all of it can be read."""
        try:
            asks = self._asks()
        except (msgspec.DecodeError, RecursionError):
            asks = None, None, None
        return Body(
            model,
            self.stream,
            self.stream_options,
            _limit(self.max_tokens),
            _limit(self.max_completion_tokens),
            _limit(self.max_output_tokens),
            self.n,
            *asks,
        )

    def _asks(self) -> tuple[str | None, str | None, Metadata | None]:
        said = self.safety_identifier, self.user, self.metadata
        if (said[0] is NULL and said[1] is NULL and said[2] is NULL) or max(map(len, said)) > MAX_ASKING_BYTES:
            return None, None, None
        return (
            lone_surrogates.reading(_decode_text, bytes(self.safety_identifier)),
            lone_surrogates.reading(_decode_text, bytes(self.user)),
            lone_surrogates.reading(_decode_metadata, bytes(self.metadata)),
        )


class OddBody(LooseBody):
    model: str | None = None


class LargeBody(LooseBody, kw_only=True):
    model: Name


def _limit(raw: msgspec.Raw) -> int | None:
    try:
        return int(_decode_number(raw))
    except msgspec.DecodeError:
        return None


class Modelled(msgspec.Struct):
    model: str | None = None


class Several(msgspec.Struct):
    """Of a request for completions: several prompts are as many choices."""

    prompt: str | list[msgspec.Raw] | None = None


class ResponseFormat(msgspec.Struct):
    type: str = ""


class Needing(msgspec.Struct):
    """What asks something of an engine that not every engine can do."""

    tools: list[msgspec.Raw] | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: dict[str, msgspec.Raw] | None = None


decode_body = msgspec.json.Decoder(Body).decode
decode_odd_body = msgspec.json.Decoder(OddBody).decode
decode_large_body = msgspec.json.Decoder(LargeBody).decode
decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
decode_model = msgspec.json.Decoder(Modelled).decode
decode_several = msgspec.json.Decoder(Several).decode
decode_count = msgspec.json.Decoder(int).decode
decode_needing = msgspec.json.Decoder(Needing).decode
_decode_number = msgspec.json.Decoder(float).decode
_decode_text = msgspec.json.Decoder(str | None).decode
_decode_metadata = msgspec.json.Decoder(Metadata | None).decode
