"""What every client is asked to do, and what must come of it: one function per column of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
"""The parameters of the tool, and the shape of the structured answer."""
PROMPT = "How is the weather in Paris? Ask Weather."
"""It names the tool in both its spellings once: fakes call what is named."""
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
"""A PNG of one pixel, in base64."""
TOLD = "sunny"
"""What the tool says."""


class Client(Protocol):
    """One client, set up as its documentation says. What it has no way to ask raises NotImplementedError."""

    name: str

    def chat(self, model: str) -> str: ...
    def stream(self, model: str) -> Iterator[str]: ...
    def tool(self, model: str) -> dict[str, Any]: ...
    def structured(self, model: str) -> dict[str, Any]: ...
    def embed(self, model: str) -> list[float]: ...
    def models(self) -> list[str]: ...


Make = Callable[..., Client]
"""Of a base URL, a key and a timeout in seconds."""


def chat(client: Client) -> None:
    assert client.chat("chat").strip()


def stream(client: Client) -> None:
    pieces = list(client.stream("chat"))
    assert len([piece for piece in pieces if piece]) > 3
    assert "".join(pieces).strip()


def tools(client: Client) -> None:
    assert set(client.tool("chat")) == {"city", "days"}


def structured(client: Client) -> None:
    assert set(client.structured("chat")) == {"city", "days"}


def embeddings(client: Client) -> None:
    assert len(client.embed("chat")) == 384


def models(client: Client) -> None:
    assert {"chat", "flaky"} <= set(client.models())


def fallback(client: Client) -> None:
    """Its first engine always fails, and nobody notices."""
    assert client.chat("flaky").strip()


def unknown_model(client: Client) -> None:
    told = raised(lambda: client.chat("nope"))
    assert status_of(told) == 404
    assert "'nope' does not exist" in str(told)


def wrong_key(client: Client) -> None:
    """`client` was made with a key that is none."""
    assert status_of(raised(lambda: client.chat("chat"))) == 401


def rate_limit(client: Client) -> None:
    assert status_of(raised(lambda: client.chat("limited"))) == 429


def broken_engine(client: Client) -> None:
    assert status_of(raised(lambda: client.chat("broken"))) in (500, 502)


def cut_stream(client: Client) -> None:
    """It must not look like an answer that is whole."""
    raised(lambda: list(client.stream("cut")))


def timeout(client: Client) -> None:
    """`client` was made with a timeout of a second, and the engine never answers."""
    told = raised(lambda: client.chat("hangs"))
    words = f"{type(told).__name__} {told} {told.__cause__!r}".lower()
    assert "time" in words, words


def cancel(client: Client) -> None:
    """Who stops listening frees the engine; the gateway is asked afterwards."""
    pieces = client.stream("chat")
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]  # each is a generator


CASES: tuple[Callable[[Client], None], ...] = (
    chat,
    stream,
    tools,
    structured,
    embeddings,
    models,
    fallback,
    unknown_model,
    wrong_key,
    rate_limit,
    broken_engine,
    cut_stream,
    timeout,
    cancel,
)


def raised(ask: Callable[[], object]) -> BaseException:
    """What it fails with."""
    try:
        answer = ask()
    except NotImplementedError:
        raise
    except Exception as error:
        return error
    raise AssertionError(f"it did not fail: {answer!r}")


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error, or what it comes of, tells."""
    seen: BaseException | None = error
    while seen is not None:
        for name in ("status_code", "code", "status"):
            if isinstance(value := getattr(seen, name, None), int):
                return value
        seen = seen.__cause__ or seen.__context__
    return None
