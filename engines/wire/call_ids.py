"""Ids of calls as a target spells them: an engine made one, and another is told of the call later in the conversation.

Anthropic takes `^[a-zA-Z0-9_-]+$` (its API's refusal: "tool_use.id: String should match pattern", quoted in
github.com/langchain-ai/langchain/pull/37756), Bedrock `[a-zA-Z0-9_.:-]{1,64}` (botocore,
bedrock-runtime service-2.json, ToolUseId), Mistral nine letters and digits (its refusal, code 3280: "must be a-z, A-Z,
0-9, with a length of 9", quoted in github.com/langchain-ai/langchain/pull/24668; mistral-common checks the same).
"""

from __future__ import annotations

import hashlib
import re
from string import ascii_letters, digits
from typing import Final

_ALPHABET: Final = digits + ascii_letters
_SPELT: Final = bytes([ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256)])
"""By a byte of a digest, the character that stands for it: one step for all of an id, of which a request may have
thousands."""
ANTHROPICS: Final = (re.compile(r"[a-zA-Z0-9_-]+"), 24)
BEDROCKS: Final = (re.compile(r"[a-zA-Z0-9_.:-]{1,64}"), 24)
MISTRALS: Final = (re.compile(r"[a-zA-Z0-9]{9}"), 9)


def fitted(id: str, rule: tuple[re.Pattern[str], int]) -> str:
    """`id` where the target takes it; else one that it takes, the same whenever this id is told: of a call and of its
    result. Nine characters are 53 bits, so two calls of a conversation do not meet."""
    takes, length = rule
    if takes.fullmatch(id):
        return id
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()
    return digest[:length].translate(_SPELT).decode()
