"""The formats that meet in translation: those that clients ask in, and those that engines are asked in.

I want to add one that engines are asked in: a package beside `anthropic_messages` with a request encoder, a stream
decoder and a table of reasons to finish, and a row here. Same format in and out is never translated.
"""

from __future__ import annotations

from typing import Final

from engines.model import Operation
from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.bedrock_converse import codec as bedrock_converse
from engines.wire.codec import Egress, Ingress
from engines.wire.cohere import codec as cohere
from engines.wire.gemini import codec as gemini
from engines.wire.openai_chat import codec as openai_chat
from engines.wire.openai_chat import variants
from engines.wire.openai_responses import codec as openai_responses

INGRESS: Final[dict[Operation, Ingress]] = {
    Operation.CHAT: openai_chat.INGRESS,
    Operation.RESPONSES: openai_responses.INGRESS,
    Operation.MESSAGES: anthropic_messages.INGRESS,
}
INGRESS_BY_PATH: Final = {operation.value: ingress for operation, ingress in INGRESS.items()}
_EGRESSES: Final[tuple[Egress, ...]] = (
    openai_chat.EGRESS,
    openai_chat.COMPATIBLE,
    anthropic_messages.EGRESS,
    gemini.EGRESS,
    cohere.EGRESS,
    bedrock_converse.EGRESS,
    variants.MISTRAL,
    variants.AI21,
)
EGRESS: Final[dict[str, Egress]] = {egress.name: egress for egress in _EGRESSES}
