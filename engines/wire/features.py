"""What a request asks of whoever answers it, by name, so that it is known beforehand who cannot.

Three sorts: CONTENT is what the answer would be senseless without, so that it is never left out; HINTS change nothing
of an answer, so that nobody is passed over for want of them; every other name is a parameter, and whether one may be
left out is the operator's to say (`unsupported: strict | drop`). Names are OpenAI chat's; a client is told its own.
"""

from __future__ import annotations

from typing import Final

from engines.wire.request import (
    AudioPart,
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    ResultPart,
    TextPart,
    ThoughtPart,
    thinking,
)

CONTENT: Final = frozenset(
    {
        "images",
        "image_urls",
        "files",
        "file_urls",
        "audio",
        "tool_result_media",
        "embeddings",
        "rerank",
        "count_tokens",
        "several_inputs",
        "encoded_inputs",
        "tools",
        "json_object",
        "json_schema",
        "previous_response_id",
        "conversation",
        "prompt",
        "background",
        "web_search_options",
        "modalities",
        "container",
        "mcp_servers",
        "functions",
        "function_call",
    }
)
HINTS: Final = frozenset(
    {
        "user",
        "metadata",
        "store",
        "stream_options",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "cache_control",
        "include",
        "truncation",
        "max_tool_calls",
        "betas",
        "reasoning.summary",
        "thinking.display",
        "messages.cache_control",
        "message_names",
        "image_detail",
        "strict_tools",
        "tool_errors",
        "tools.eager_input_streaming",
    }
)
_OF_CONTENT: Final = ("images.", "files.", "tools.", "messages.", "input.", "response_format.", "text.format.")
"""How the names begin of content that nobody but its own format can take."""
_DEFAULTS: Final[dict[str, tuple[object, ...]]] = {
    "service_tier": ("auto", "default", "standard_only"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "background": (False,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "truncation": ("disabled",),
    "include": ([],),
}
"""What a member of the extension bag may say without asking for anything."""


EVERYBODYS_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
OFFICE: Final = {
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
"""Types of documents beside PDF and texts, and what Bedrock calls them."""


def image_sort(media_type: str) -> str:
    """What must be taken beyond `images` for one of this type, behind `images.`; empty for what everybody takes."""
    if media_type in EVERYBODYS_IMAGES:
        return ""
    if media_type in ("image/heic", "image/heif"):
        return "heic"
    return "gif" if media_type == "image/gif" else "other"


def file_sort(media_type: str) -> str:
    """The same of a document, behind `files.`."""
    if media_type == "application/pdf":
        return ""
    return "office" if media_type in OFFICE else "other"


def asked(request: ChatRequest) -> dict[str, str]:
    """Everything that the request asks for: the name, and what its own format calls it."""
    own = OWN_NAMES.get(request.origin, {})
    names: dict[str, str] = {name: own.get(name, name) for name in _parameters(request)}
    for name in (*_content(request), *request.unread):
        names[name] = own.get(name, name)
    added = {
        name: own.get(name, name) for name, value in request.extensions.items() if value not in _DEFAULTS.get(name, ())
    }
    return names | added


def needed(names: dict[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Of what is asked: the parameters, and the content."""
    content = frozenset(name for name in names if name in CONTENT or name.startswith(_OF_CONTENT)) - HINTS
    return frozenset(names) - content - HINTS, content


def is_forced_to_think(request: ChatRequest) -> bool:
    """Whether it asks for thoughts before a call that it does not leave to the model: Claude takes one or the other
    (platform.claude.com, extended thinking with tool use)."""
    choice, wish = request.tool_choice, request.reasoning
    forced = bool(request.tools) and choice is not None and choice.mode in ("required", "named")
    return forced and wish is not None and thinking(wish)


def hints_within(request: ChatRequest) -> frozenset[str]:
    """The names of what is asked for inside its turns and tools; `strict: false` is some of it."""
    strict = {"strict_tools"} if any(tool.strict is not None for tool in request.tools) else set()
    return frozenset(_content(request)) | strict


def _parameters(request: ChatRequest) -> list[str]:
    names = []
    if request.temperature is not None and request.temperature != 1:
        names.append("temperature")
    if request.top_p is not None and request.top_p != 1:
        names.append("top_p")
    if request.n is not None and request.n != 1:
        names.append("n")
    if request.top_k is not None:
        names.append("top_k")
    if request.seed is not None:
        names.append("seed")
    if request.stop:
        names.append("stop")
    if request.presence_penalty:
        names.append("presence_penalty")
    if request.frequency_penalty:
        names.append("frequency_penalty")
    if request.user:
        names.append("user")
    if request.reasoning is not None:
        names.append("reasoning_effort")
    if is_forced_to_think(request):
        names.append("forced_tool_reasoning")
    if request.tools and request.parallel_tool_calls is False:
        names.append("parallel_tool_calls")
    choice = request.tool_choice
    if request.tools and choice is not None and choice.mode in ("required", "named"):
        names.append(f"tool_choice.{choice.mode}")
    return names


def _content(request: ChatRequest) -> list[str]:
    names: dict[str, None] = {}
    if request.tools:
        names["tools"] = None
    if request.output is not None:
        names[request.output.kind] = None
    if any(tool.strict for tool in request.tools):
        names["strict_tools"] = None
    if any(tool.cache for tool in request.tools):
        names["cache_control"] = None
    for turn in request.turns:
        if turn.name:
            names["message_names"] = None
        for part in turn.parts:
            if isinstance(part, (TextPart, CallPart)):  # nearly all, and there may be thousands
                if part.cache is not None:
                    names["cache_control"] = None
                continue
            if not isinstance(part, (AudioPart, ThoughtPart)) and part.cache is not None:
                names["cache_control"] = None
            if isinstance(part, ResultPart):
                if part.failed:
                    names["tool_errors"] = None
                if not all(isinstance(one, TextPart) for one in part.parts):
                    names["tool_result_media"] = None
            for one in part.parts if isinstance(part, ResultPart) else (part,):
                if isinstance(one, ImagePart):
                    names["image_urls" if one.url else "images"] = None
                    if one.data and (sort := image_sort(one.media_type)):
                        names[f"images.{sort}"] = None
                    if one.detail not in ("", "auto"):
                        names["image_detail"] = None
                elif isinstance(one, FilePart) and not one.text:  # a text is a text to everybody
                    names["file_urls" if one.url else "files"] = None
                    if one.data and (sort := file_sort(one.media_type)):
                        names[f"files.{sort}"] = None
                elif isinstance(one, AudioPart):
                    names["audio"] = None
                elif isinstance(one, ThoughtPart):
                    pass  # whoever cannot take it back has not made it
    return list(names)


OWN_NAMES: Final[dict[str, dict[str, str]]] = {
    "openai_chat": {
        "forced_tool_reasoning": "reasoning_effort",
        "images.gif": "messages",
        "images.heic": "messages",
        "images.other": "messages",
        "files.office": "messages",
        "files.other": "messages",
        "message_names": "messages.name",
        "image_detail": "messages.image_url.detail",
        "strict_tools": "tools.function.strict",
        "tool_result_media": "messages",
        "images": "messages",
        "image_urls": "messages",
        "files": "messages",
        "file_urls": "messages",
        "audio": "messages",
        "json_object": "response_format",
        "json_schema": "response_format",
        "tool_choice.required": "tool_choice",
        "tool_choice.named": "tool_choice",
    },
    "anthropic_messages": {
        "forced_tool_reasoning": "thinking",
        "images.gif": "messages",
        "images.heic": "messages",
        "images.other": "messages",
        "files.office": "messages",
        "files.other": "messages",
        "strict_tools": "tools.strict",
        "tool_errors": "messages.tool_result.is_error",
        "tool_result_media": "messages.tool_result",
        "images": "messages",
        "image_urls": "messages",
        "files": "messages",
        "file_urls": "messages",
        "json_schema": "output_config",
        "tool_choice.required": "tool_choice",
        "tool_choice.named": "tool_choice",
        "parallel_tool_calls": "tool_choice",
        "reasoning_effort": "thinking",
        "stop": "stop_sequences",
        "user": "metadata",
    },
    "openai_responses": {
        "forced_tool_reasoning": "reasoning",
        "images.gif": "input",
        "images.heic": "input",
        "images.other": "input",
        "files.office": "input",
        "files.other": "input",
        "image_detail": "input.input_image.detail",
        "strict_tools": "tools.strict",
        "tool_result_media": "input.function_call_output",
        "images": "input",
        "image_urls": "input",
        "files": "input",
        "file_urls": "input",
        "json_object": "text",
        "json_schema": "text",
        "tool_choice.required": "tool_choice",
        "tool_choice.named": "tool_choice",
        "reasoning_effort": "reasoning",
        "verbosity": "text.verbosity",
    },
}
"""By the format of a request: what it calls what is asked for, where that is not the name itself."""
