"""Who is tried with what: the cells of the lane's tables, and the tables of docs/clients.md, which are made of them.

`python -m tests.clients.plan` prints those of the page; the lane runs each cell.
"""

from __future__ import annotations

import sys

from tests.clients import behind, cases

MEDIA = ("transcription", "speech", "pictures")
NAMES = (*(case.__name__ for case in cases.CASES), *MEDIA)
"""Of what is asked where the engines fail on purpose."""
_STREAMS = {"stream", "cut_stream", "cancel"}
LACKS: dict[str, set[str]] = {
    "openai": set(),
    "openai responses": set(MEDIA),
    "anthropic": {"embeddings", *MEDIA},
    "langchain-openai": {"models", *MEDIA},
    "langchain-anthropic": {"embeddings", "models", *MEDIA},
    "llama-index": {"models", *MEDIA},
    "litellm": {"models", *MEDIA},
    "instructor": {"tools", "embeddings", "models", *_STREAMS, *MEDIA},
    "pydantic-ai": {"embeddings", "models", *_STREAMS, *MEDIA},
    "openai (npm)": set(),
    "@anthropic-ai/sdk": {"embeddings", *MEDIA},
    "ai (Vercel)": {"models", *MEDIA},
    "java.net.http": set(NAMES) - {"chat", "fallback", "stream", "transcription", "unknown_model", "timeout"},
}
"""Every client, and what it has no way to ask or is not asked."""
CONVERSING = ("openai", "anthropic", "langchain-openai", "langchain-anthropic", "openai (npm)", "@anthropic-ai/sdk")
"""Those that are put in front of each provider."""
BEHIND = tuple(case.__name__ for case in behind.CASES)
REFUSED: dict[tuple[str, str], set[str]] = {
    **{(client, "ai21"): {"reasoning", "structured", "images"} for client in CONVERSING},
}
"""What a provider's API has not, by client and provider: a 400 that names the parameter, and nobody is asked."""


def clients_table() -> str:
    """Clients by what they are asked, in Markdown."""
    rows = [[f"`{name}`", *("" if case in lacks else "yes" for case in NAMES)] for name, lacks in LACKS.items()]
    return _table(["", *(name.replace("_", " ") for name in NAMES)], rows)


def providers_table() -> str:
    """Clients by providers, in Markdown."""
    return _table(
        ["", *(f"`{name}`" for name in behind.MODELS)],
        [[f"`{client}`", *(_behind(client, name) for name in behind.MODELS)] for client in CONVERSING],
    )


def _behind(client: str, provider: str) -> str:
    refused = REFUSED.get((client, provider), set())
    return "all but " + ", ".join(case for case in BEHIND if case in refused) if refused else "all"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in line)}|\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(f"{clients_table()}\n{providers_table()}")
