"""What `GET /v1/models` says a model may be asked for: what at least one of its targets takes, so that a request is not
passed over by all of them.

A target that is asked in its client's own format takes everything, as far as the gateway knows: what its model cannot,
`lacks` says. One that is asked in another takes what that format has a word for. A model whose name says that it embeds
or ranks does that, and of a chat nothing but what its target's `takes` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engines.kinds.section import EngineSection
from engines.model import Operation
from engines.wire.translation import EGRESS
from engines.wire.unary.forms import FORMS
from engines.wire.unary.sorts import sort_of
from gateway.fleet.arms import arms_of
from gateway.settings import Model, Target

TOOLS: Final = "tools"
IMAGES: Final = "images"
SCHEMA: Final = "json_schema"
REASONING: Final = "reasoning_effort"
BETWEEN_TOOLS: Final = "thinking.between_tools"
_SIMULATED: Final = frozenset({Operation.EMBEDDINGS, Operation.RERANK})


class Capabilities:
    """Those of one public model, for clients of one format."""

    def __init__(self, model: Model | None, engines: Mapping[str, EngineSection], operation: Operation) -> None:
        """`operation` is how clients of that format ask for a chat. Of no model (a reload has just taken it) nothing
        is told to be there."""
        arms = {} if model is None else arms_of(model)
        targets = [target for arm in arms.values() for target in arm.targets]
        self._claude = any(engines[target.engine].row == "anthropic" for target in targets)
        self._taken = [_taken(target, engines[target.engine], operation) for target in targets]
        self._chats = any(takes is None or takes for takes, _ in self._taken)
        self._answers = {one for target in targets if (one := _answered(target, engines[target.engine])) is not None}
        if any(engines[target.engine].row == "simulator" for target in targets):
            self._answers |= _SIMULATED  # under any model's name

    def can(self, name: str) -> bool:
        """Whether some target takes it, by a name of `engines.wire.features`."""
        return any(name not in lacks and (takes is None or name in takes) for takes, lacks in self._taken)

    def of_openai(self) -> dict[str, Any]:
        """OpenAI's model objects have no member for this: these are ours."""
        return {
            "tools": self.can(TOOLS),
            "images": self.can(IMAGES),
            "schema": self.can(SCHEMA),
            "reasoning": self.can(REASONING),
            "embeddings": Operation.EMBEDDINGS in self._answers,
            "rerank": Operation.RERANK in self._answers,
        }

    def of_anthropic(self) -> dict[str, Any]:
        """As Anthropic's (anthropic types/model_capabilities.py): every key at all times. What only Claude has,
        and passes through to it, is told of targets at Anthropic; batches are not relayed."""
        thinks = self.can(REASONING)
        efforts = {level: _support(thinks) for level in ("low", "medium", "high", "xhigh", "max")}
        claude = self._claude and self._chats
        return {
            "batch": _support(False),
            "citations": _support(claude),
            "code_execution": _support(claude),
            "context_management": _support(claude),
            "effort": {**_support(thinks), **efforts},
            "image_input": _support(self.can(IMAGES)),
            "pdf_input": _support(self.can("files")),
            "server_tools": {**_support(claude), "code_execution": _support(claude), "web_search": _support(claude)},
            "structured_outputs": _support(self.can(SCHEMA)),
            "thinking": {
                **_support(thinks),
                "types": {
                    "adaptive": _support(thinks),
                    "between_tools": _support(self.can(BETWEEN_TOOLS)),
                    "disabled": _support(self._chats),
                    "enabled": _support(thinks),
                },
            },
        }


def _support(supported: bool) -> dict[str, Any]:
    return {"supported": supported}


def _taken(
    target: Target, section: EngineSection, operation: Operation
) -> tuple[frozenset[str] | None, frozenset[str]]:
    """What is taken there, None for everything, and what is lacked all the same."""
    lacks = frozenset(target.lacks)
    if sort_of(target.model) is not Operation.CHAT:
        return frozenset(target.takes), lacks
    if operation in section.spoken:
        return None, lacks
    egress = EGRESS.get(section.chats_as)
    return (frozenset() if egress is None else egress.takes | frozenset(target.takes)), lacks


def _answered(target: Target, section: EngineSection) -> Operation | None:
    """What a model that is none for chats is for, where its engine can be asked for that."""
    sort = sort_of(target.model)
    if sort is Operation.CHAT:
        return None
    if sort in section.spoken:
        return sort
    forms = [FORMS[operation][name] for operation, name in section.unary_as if operation is sort]
    return sort if any(form.takes(target.model) for form in forms) else None
