"""What each format takes and how each ends, as the tables of docs/providers.md: `python -m engines.wire.tables`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from engines.model import Operation
from engines.wire.anthropic_messages import stream_decoder as anthropic
from engines.wire.bedrock_converse import stream_decoder as bedrock
from engines.wire.cohere import stream_decoder as cohere
from engines.wire.features import HINTS
from engines.wire.gemini import stream_decoder as gemini
from engines.wire.openai_chat import stream_decoder as chat
from engines.wire.translation import EGRESS
from engines.wire.unary.forms import FORMS

FINISHES: Final[dict[str, dict[str, str]]] = {
    "openai_chat": chat.FINISH,
    "compatible_chat": chat.FINISH,
    "anthropic_messages": anthropic.FINISH,
    "gemini": gemini.FINISH,
    "cohere": cohere.FINISH,
    "bedrock_converse": bedrock.FINISH,
    "mistral": chat.MISTRALS_FINISH,
    "ai21": chat.FINISH,
}


_MODELS: Final = {"bedrock": ("amazon.titan-embed-text-v2:0", "cohere.embed-v4:0", "cohere.rerank-v3-5:0")}
"""Where it hangs on the model what is taken, one of each sort."""


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> Iterator[str]:
    told = list(head)
    yield f"| {' | '.join(told)} |"
    yield "|" + "---|" * len(told)
    for row in body:
        yield f"| {' | '.join(row)} |"


def taken() -> Iterator[str]:
    """What may be asked for, by the format that an engine is asked in."""
    names = sorted(set().union(*[egress.takes for egress in EGRESS.values()]) - HINTS)
    body = [[f"`{name}`", *["yes" if name in egress.takes else "" for egress in EGRESS.values()]] for name in names]
    return rows(["", *[f"`{name}`" for name in EGRESS]], body)


def finishes() -> Iterator[str]:
    """Each provider's reasons to finish."""
    body = [
        [f"`{name}`", f"`{reason}`", f"`{ours}`" if ours else "an error"]
        for name, table in FINISHES.items()
        for reason, ours in table.items()
    ]
    return rows(["asked as", "the engine's reason", "OpenAI's"], body)


def unary() -> Iterator[str]:
    """Who is asked for embeddings and rerank in words of its own, and what may be asked for."""
    told = {
        f"{operation.value} of `{name}`": frozenset().union(*[form.takes(model) for model in _MODELS.get(name, ("",))])
        for operation, forms in FORMS.items()
        for name, form in forms.items()
        if operation is not Operation.COUNT_TOKENS  # which takes what a chat does
    }
    names = sorted(frozenset().union(*told.values()) - HINTS)
    body = [[f"`{name}`", *["yes" if name in takes else "" for takes in told.values()]] for name in names]
    return rows(["", *told], body)


if __name__ == "__main__":
    print("\n".join([*taken(), "", *finishes(), "", *unary()]))  # noqa: T201 - it is what the module is run for
