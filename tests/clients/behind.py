"""What clients are asked to do with each provider behind the gateway, and what must come of it.

Providers are the project's fakes, which answer the same to the same question (docs/fake-providers.md), so answers are
known to the letter. A model called `NAME` is served by the provider NAME, one called `NAME-SCRIPT` goes wrong there.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tests.clients.cases import PROMPT, TOLD, Client, raised, status_of
from tests.clients.gateway import ALWAYS, PATIENCE_S, Gateway, running, started

MODELS = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-opus-5",
    "gemini": "gemini-3-flash",
    "bedrock": "eu.anthropic.claude-opus-5-v1:0",
    "azure": "gpt-5-mini",
    "cohere": "command-a-03-2025",
    "mistral": "mistral-large-latest",
    "ai21": "jamba-large",
    "vertex": "gemini-3-flash",
}
"""Each provider, and the model that it is asked for."""
SCRIPTS = ("rate-limited", "too-long", "error-mid-stream", "stalled")
SAID = f"You said: {PROMPT}"
FOUND = {"city": "city", "days": 1}
"""The example that a fake makes of the tool's schema."""


class Conversing(Client, Protocol):
    """A client that is also asked for more than one turn."""

    def look(self, model: str) -> str: ...
    def streamed_tool(self, model: str) -> dict[str, Any]: ...
    def second_turn(self, model: str) -> str: ...
    def thoughts(self, model: str) -> str: ...


def chat(client: Conversing, provider: str) -> None:
    assert SAID == client.chat(provider)


def stream(client: Conversing, provider: str) -> None:
    pieces = list(client.stream(provider))
    assert SAID == "".join(pieces)
    assert len([piece for piece in pieces if piece]) > 3


def tools(client: Conversing, provider: str) -> None:
    assert FOUND == client.tool(provider)


def streamed_tools(client: Conversing, provider: str) -> None:
    assert FOUND == client.streamed_tool(provider)


def results(client: Conversing, provider: str) -> None:
    """What was streamed goes back as it came, with what the tool said."""
    assert TOLD in client.second_turn(provider)


def reasoning(client: Conversing, provider: str) -> None:
    """The same with thoughts, whose signatures the provider wants back unchanged."""
    assert TOLD in client.thoughts(provider)


def structured(client: Conversing, provider: str) -> None:
    assert FOUND == client.structured(provider)


def images(client: Conversing, provider: str) -> None:
    assert client.look(provider) == "You said: Look. I see 1 image."


def rate_limit(client: Conversing, provider: str) -> None:
    assert status_of(raised(lambda: client.chat(f"{provider}-rate-limited"))) == 429


def too_long(client: Conversing, provider: str) -> None:
    told = raised(lambda: client.chat(f"{provider}-too-long"))
    assert (400, True) == (status_of(told), "long" in str(told)), told


def error_in_stream(client: Conversing, provider: str) -> None:
    """It must not look like an answer that is whole."""
    raised(lambda: list(client.stream(f"{provider}-error-mid-stream")))


def cancel(client: Conversing, provider: str) -> None:
    """Who stops listening frees the provider, which is asked afterwards."""
    pieces = client.stream(f"{provider}-stalled")
    assert any(next(pieces) for _ in range(3))
    pieces.close()  # type: ignore[attr-defined]  # each is a generator


CASES: tuple[Callable[[Conversing, str], None], ...] = (
    *(chat, stream, tools, streamed_tools, results, reasoning, structured, images),
    *(rate_limit, too_long, error_in_stream, cancel),
)


class Behind:
    """The gateway, and the providers behind it."""

    def __init__(self, gateway: Gateway, urls: dict[str, str]) -> None:
        self.gateway = gateway
        self.urls = urls
        """Of the fakes, by their names."""

    def left(self, provider: str) -> int:
        """How many clients a provider saw leave."""
        with urllib.request.urlopen(f"{self.urls[provider]}/fake/requests", timeout=10) as answer:
            return sum(one["left"] for one in json.load(answer))

    def until_left(self, provider: str, count: int) -> None:
        """Wait until it saw so many leave. Raises AssertionError when it does not."""
        until = time.monotonic() + PATIENCE_S
        while self.left(provider) < count:
            assert time.monotonic() < until, f"{provider} did not see its client leave"
            time.sleep(0.02)


@contextlib.contextmanager
def providers(directory: pathlib.Path) -> Iterator[Behind]:
    """A gateway in front of every fake until the block ends."""
    fakes = started("-m", "tests.clients.fakes", str(directory), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert fakes.stdin is not None
    assert fakes.stdout is not None
    try:
        urls = json.loads(fakes.stdout.readline())
        key = urls.pop("key")
        with running(directory, configuration(urls, key)) as gateway:
            gateway.until("penstock_access_token_seconds{")
            yield Behind(gateway, urls)
    finally:
        fakes.stdin.close()
        try:
            fakes.wait(30)
        finally:
            fakes.kill()
            fakes.stdout.close()


def configuration(urls: dict[str, str], key: str) -> dict[str, Any]:
    """Of engines by the providers' names."""
    at = f"{urls['vertex']}/v1/projects/p/locations/europe-west4/publishers/google"
    engines: dict[str, dict[str, Any]] = {
        "openai": {"kind": "openai", "provider": "openai", "base_url": f"{urls['openai']}/v1"},
        "mistral": {"kind": "openai", "provider": "mistral", "base_url": f"{urls['mistral']}/v1"},
        "ai21": {"kind": "openai", "provider": "ai21", "base_url": f"{urls['ai21']}/studio/v1"},
        "gemini": {"kind": "gemini", "base_url": f"{urls['gemini']}/v1beta"},
        **{name: {"kind": name, "base_url": urls[name]} for name in ("anthropic", "bedrock", "azure", "cohere")},
    }
    for engine in engines.values():
        engine["api_key"] = "key-of-the-provider"
    vertex = {"project": "p", "location": "europe-west4", "credentials_file": key}
    engines["vertex"] = {"kind": "gemini", "base_url": at, "vertex": vertex}
    models = {
        f"{name}{ending}": {"targets": [{"engine": name, "model": model + script}]}
        for name, model in MODELS.items()
        for ending, script in [("", ""), *((f"-{script}", f"-fake-{script}") for script in SCRIPTS)]
    }
    return {**ALWAYS, "retry": {"max_attempts": 1}, "engines": engines, "models": models}
