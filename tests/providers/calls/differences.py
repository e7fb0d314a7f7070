"""Where what we send may differ from what the provider's own SDK sends, and the line that forces it.

A row allows one kind of difference at one place and nothing else; the test refuses a row that nothing needs any more,
and one whose line is not in the SDK.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from engines.wire.anthropic_messages.request_encoder import ONE_OBJECT
from tests.providers.calls.comparing import MISSING
from tests.providers.calls.the_set import FOREIGN_ID

Says = Callable[[Any], bool]


@dataclass(frozen=True)
class Cite:
    """A line of an SDK, by its module; or of a provider's documentation, or where its refusal is quoted, by address."""

    where: str
    line: str

    def stands(self) -> bool:
        if self.where.startswith("https:"):
            return True
        source = import_module(self.where).__file__
        assert source is not None
        return self.line in Path(source).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """`theirs` and `ours` are what the two say there; a function says whether it is one of those."""

    name: str
    targets: str
    """The formats that it holds for, as a regular expression."""
    place: str
    """As `comparing` names it, as a regular expression."""
    theirs: Any
    ours: Any
    because: Cite
    clients: str = ".*"

    def allows(self, client: str, target: str, place: str, theirs: Any, ours: Any) -> bool:
        return (
            re.fullmatch(self.clients, client) is not None
            and re.fullmatch(self.targets, target) is not None
            and re.fullmatch(self.place, place) is not None
            and _is(self.theirs, theirs)
            and _is(self.ours, ours)
        )


def _is(wanted: Any, found: Any) -> bool:
    if callable(wanted):
        return bool(wanted(found))
    return type(wanted) is type(found) and bool(wanted == found)


ANTHROPIC_LIMIT: Final = Cite("anthropic.types.message_create_params", "max_tokens: Required[int]")
LIMITS: Final = r"max_tokens|max_completion_tokens|(inferenceConfig\.)?maxTokens|generationConfig\.maxOutputTokens"

SDKS: Final = (
    Row(
        "a client of Anthropic's always bounds the answer",
        ".*",
        LIMITS,
        MISSING,
        8192,
        ANTHROPIC_LIMIT,
        clients="anthropic_messages",
    ),
    Row(
        "the same, where nothing else is configured",
        "bedrock_converse",
        "inferenceConfig",
        MISSING,
        {"maxTokens": 8192},
        ANTHROPIC_LIMIT,
        clients="anthropic_messages",
    ),
    Row(
        "a schema of Anthropic's has no name, and the target's must",
        ".*",
        r".*json_?[sS]chema\.name",
        "place",
        "answer",
        Cite("anthropic.types.json_output_format_param", 'type: Required[Literal["json_schema"]]'),
        clients="anthropic_messages",
    ),
    Row(
        "Anthropic's word for one call at a time is in a choice, which must have a type",
        "openai_chat|compatible_chat|mistral",
        "tool_choice",
        MISSING,
        "auto",
        Cite("anthropic.types.tool_choice_auto_param", 'type: Required[Literal["auto"]]'),
        clients="anthropic_messages",
    ),
    Row(
        "turns of one role that follow one another are one turn",
        "anthropic_messages",
        "messages",
        lambda turns: any(one["role"] == other["role"] for one, other in pairwise(turns)),
        lambda turns: all(one["role"] != other["role"] for one, other in pairwise(turns)),
        Cite(
            "https://docs.claude.com/en/api/messages",
            "Consecutive `user` or `assistant` turns in your request will be combined into a single turn",
        ),
    ),
    Row(
        "an object without a schema is asked for in words: the API knows schemas alone",
        "anthropic_messages",
        "system",
        MISSING,
        ONE_OBJECT,
        Cite("anthropic.types.json_output_format_param", 'type: Required[Literal["json_schema"]]'),
    ),
    Row(
        "the same",
        "bedrock_converse",
        "system",
        MISSING,
        [{"text": ONE_OBJECT}],
        Cite(
            "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_OutputFormat.html",
            "type: Valid Values: json_schema",
        ),
    ),
    Row(
        "a thought goes where its words are read again",
        "compatible_chat",
        r"messages\[\]\.reasoning_content",
        MISSING,
        "rain, I think",
        Cite(
            "https://api-docs.deepseek.com/guides/thinking_mode",
            "`reasoning_content` of tool calls must be passed back to the API",
        ),
    ),
    Row(
        "the SDK says of every request whether it streams",
        "cohere",
        "stream",
        False,
        MISSING,
        Cite("cohere.v2.raw_client", '"stream": False'),
    ),
    Row(
        "the SDK says of every request whether it streams",
        "mistral",
        "stream",
        False,
        MISSING,
        Cite("mistralai.client.models.chatcompletionrequest", "stream: Optional[bool] = False"),
    ),
    Row(
        "the SDK says of every request whether it streams",
        "ai21",
        "stream",
        False,
        MISSING,
        Cite("ai21.clients.studio.resources.chat.chat_completions", "stream=stream or False"),
    ),
    Row(
        "the SDK says of every answer whether it is a prefix",
        "mistral",
        r"messages\[\]\.prefix",
        False,
        MISSING,
        Cite("mistralai.client.models.assistantmessage", "prefix: Optional[bool] = False"),
    ),
    Row(
        "the SDK numbers calls, all of them 0",
        "mistral",
        r"messages\[\]\.tool_calls\[\]\.index",
        0,
        MISSING,
        Cite("mistralai.client.models.toolcall", "index: Optional[int] = 0"),
    ),
    Row(
        "the SDK says of an answer that it called nothing",
        "ai21",
        r"messages\[\]\.tool_calls",
        None,
        MISSING,
        Cite("ai21.models.chat.chat_message", "tool_calls: Optional[List[ToolCall]] = None"),
    ),
    Row(
        "the SDK sends a configuration that says nothing",
        "gemini",
        "generationConfig",
        {},
        MISSING,
        Cite("google.genai.models", "['generationConfig'],"),
    ),
    Row(
        "the SDK makes instructions a turn of the user's",
        "gemini",
        r"systemInstruction\.role",
        "user",
        MISSING,
        Cite("google.genai._transformers", "return types.UserContent(parts=content)"),
    ),
    Row(
        "the SDK has a whole number as a float",
        "gemini",
        r"generationConfig\.topK",
        40.0,
        40,
        Cite("google.genai.types", "top_k: Optional[float] = Field("),
    ),
    Row(
        "hotter than 1 is refused",
        "bedrock_converse",
        r"inferenceConfig\.temperature",
        1.5,
        1,
        Cite(
            "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html",
            "temperature: Minimum value of 0. Maximum value of 1.",
        ),
    ),
    Row(
        "a schema is a text, in which spaces say nothing",
        "bedrock_converse",
        r"outputConfig\.textFormat\.structure\.jsonSchema\.schema",
        lambda text: json.loads(text)["required"] == ["city"],
        lambda text: json.loads(text)["required"] == ["city"],
        Cite(
            "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_JsonSchemaDefinition.html",
            "schema: Type: String",
        ),
    ),
)

NO_BLANKS: Final = Cite(
    "https://github.com/anthropics/claude-code/issues/23440",
    "messages: text content blocks must contain non-whitespace text",
)
NO_BLANK_STOPS: Final = Cite(
    "https://github.com/BerriAI/litellm/issues/3286",
    "stop_sequences: each stop sequence must contain non-whitespace",
)
OF_THE_TARGET: Final = (
    Row(
        "an id that another's model made is spelt as the target takes it",
        "anthropic_messages",
        r"messages\[\]\.content\[\]\.(id|tool_use_id)",
        FOREIGN_ID,
        re.compile(r"[a-zA-Z0-9_-]+").fullmatch,
        Cite(
            "https://github.com/langchain-ai/langchain/pull/37756",
            "Anthropic's API rejects `tool_use`/`tool_result` IDs that don't match `^[a-zA-Z0-9_-]+$` with a 400",
        ),
    ),
    Row(
        "the same",
        "mistral",
        r"messages\[\]\.(tool_calls\[\]\.id|tool_call_id)",
        FOREIGN_ID,
        re.compile(r"[a-zA-Z0-9]{9}").fullmatch,
        Cite(
            "https://github.com/langchain-ai/langchain/pull/24668",
            "Tool call id was abc123 but must be a-z, A-Z, 0-9, with a length of 9.",
        ),
    ),
    Row(
        "a text of nothing but spaces is left out",
        "anthropic_messages|bedrock_converse",
        r"messages\[\]\.content",
        lambda content: "\n" in [block.get("text") for block in content],
        lambda content: all("text" not in block for block in content),
        NO_BLANKS,
    ),
    Row(
        "a stop of nothing but spaces is left out",
        "anthropic_messages|bedrock_converse",
        r"stop_sequences|inferenceConfig\.stopSequences",
        ["\n", "END"],
        ["END"],
        NO_BLANK_STOPS,
    ),
)
"""What the target's API refuses, though its SDK sends it."""

COUNTED_ASIDE: Final = (
    Row(
        "a schema of Anthropic's has no name, and a response's must",
        "responses",
        r"text\.format\.name",
        "place",
        "answer",
        Cite("anthropic.types.json_output_format_param", 'type: Required[Literal["json_schema"]]'),
    ),
    Row(
        "whether a tool is held to its schema must be said of a response, and need not of a chat",
        "responses",
        r"tools\[\]\.strict",
        None,
        False,
        Cite("openai.types.responses.function_tool_param", "strict: Required[Optional[bool]]"),
    ),
    Row(
        "Anthropic's word for one call at a time is in a choice, which must have a type",
        "responses",
        "tool_choice",
        MISSING,
        "auto",
        Cite("anthropic.types.tool_choice_auto_param", 'type: Required[Literal["auto"]]'),
    ),
)
"""The same of what OpenAI is asked to count, which is written as a response."""

SNAKES: Final = {
    "mime_type": "mimeType",
    "inline_data": "inlineData",
    "include_thoughts": "includeThoughts",
    "thinking_budget": "thinkingBudget",
    "thinking_level": "thinkingLevel",
    "parameters_json_schema": "parametersJsonSchema",
}
SNAKES_BECAUSE: Final = (
    Cite("google.genai._common", "maybe_snake_to_camel(key, convert_keys): convert_to_dict(value)"),
    Cite(
        "https://protobuf.dev/programming-guides/json/",
        "Parsers accept both the lowerCamelCase name and the original proto field name",
    ),
)
"""The SDK sends the names of inner members as its types have them, and the API takes either."""


def in_camels(value: Any) -> Any:
    """A body of Gemini's, with either name of such a member as the one."""
    if isinstance(value, dict):
        return {SNAKES.get(name, name): in_camels(inner) for name, inner in value.items()}
    return [in_camels(one) for one in value] if isinstance(value, list) else value
