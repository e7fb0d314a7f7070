"""What an official SDK sends for a set of calls equals what we send for the same calls from a client of another format.

Each call is said once by each SDK to a server that keeps what it hears. What the SDK of a client's format sent is then
translated, and compared with what the SDK of the target's format sent; `calls.differences` lists what may differ. What
a target's SDK cannot say, we must refuse it too, by name.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engines.wire.features import HINTS, asked, needed
from engines.wire.openai_responses.request_encoder import countable
from engines.wire.request import ChatRequest
from engines.wire.translation import EGRESS, INGRESS
from tests.engines.fakes.served import serving
from tests.providers.calls.comparing import differing
from tests.providers.calls.differences import COUNTED_ASIDE, OF_THE_TARGET, SDKS, SNAKES_BECAUSE, in_camels
from tests.providers.calls.heard import Ear, Silence
from tests.providers.calls.speakers import CLIENTS, Speaker, speakers
from tests.providers.calls.speakers.bedrock_speaker import MODEL as CLAUDE
from tests.providers.calls.speakers.gemini_speaker import MODEL as GEMINI
from tests.providers.calls.the_set import CALLS, MODEL

READERS = {ingress.name: ingress for ingress in INGRESS.values()}
MODELS = {"gemini": GEMINI, "bedrock_converse": CLAUDE}
BASES = {"gemini": "/v1beta"}
"""What our paths stand behind, in the engine's URL."""
SAME = {"openai_chat": {"openai_chat", "compatible_chat"}, "anthropic_messages": {"anthropic_messages"}}
"""What passes through and is not translated."""
Heard = tuple[str, Any]
ROWS = (*SDKS, *OF_THE_TARGET)


class Said:
    """Every call as every SDK says it, said once."""

    def __init__(self, ear: Ear, ways: dict[str, Speaker]) -> None:
        self.heard: dict[tuple[str, str], Heard | None] = {}
        self.lost: dict[tuple[str, str], set[str]] = {}
        for name, call in CALLS.items():
            for form, speak in ways.items():
                self._say(ear, name, form, speak, call)

    def _say(self, ear: Ear, name: str, form: str, speak: Speaker, call: ChatRequest) -> None:
        lost: set[str] = set()
        try:
            self.heard[name, form] = ear.hear(lambda: speak(call, lost))
        except Silence:
            if not lost:
                raise
            self.heard[name, form] = None
        self.lost[name, form] = lost

    def by_client(self, name: str, form: str) -> ChatRequest | None:
        """The call as we read it from this client; None where its SDK cannot say all of it."""
        heard = self.heard[name, form]
        return None if heard is None or self.lost[name, form] else READERS[form].decode_request(encoded(heard[1]))

    def unsayable(self, name: str, form: str) -> set[str]:
        """What an answer would be senseless without, or a parameter, that the target's SDK has no word for."""
        return {lost for lost in self.lost[name, form] if not lost.startswith("~")} - HINTS


def encoded(body: Any) -> bytes:
    return msgspec.json.encode(body)


@pytest.fixture(scope="module")
def said() -> Iterator[Said]:
    logging.getLogger("ai21").setLevel(logging.CRITICAL)
    ear = Ear()
    with serving(ear) as ear.url:
        with speakers(ear.url) as ways:
            yield Said(ear, ways)


def pairs(said: Said, target: str) -> Iterator[tuple[str, str, ChatRequest]]:
    """(call, client, what the client asked for) of all that a client can say and that is translated."""
    for name in CALLS:
        for client in CLIENTS:
            request = None if target in SAME.get(client, ()) else said.by_client(name, client)
            if request is not None:
                yield name, client, request


def test_the_set_has_sixty_calls_and_each_is_said_by_somebody_to_somebody_else(said: Said) -> None:
    assert len(CALLS) >= 60
    spoken = {name for target in EGRESS for name, _, _ in pairs(said, target)}
    # Nothing that OpenAI's clients have brings back a call's signature: `extra_content` is Google's, added by hand.
    assert CALLS.keys() - spoken == {"a signed call that goes back to Gemini"}


@pytest.mark.parametrize("target", EGRESS)
def test_a_target_is_sent_what_its_own_sdk_sends(said: Said, target: str) -> None:
    egress = EGRESS[target]
    compared = 0
    for name, client, request in pairs(said, target):
        parameters, content = needed(asked(request))
        heard = said.heard[name, target]
        if said.unsayable(name, target) or not egress.takes >= parameters | content or heard is None:
            continue
        model = MODELS.get(target, MODEL)
        path, body = heard
        ours = msgspec.json.decode(egress.encode_request(request, model, egress.takes))
        assert path == BASES.get(target, "") + egress.path(model, request.stream)
        found = list(differing(in_camels(body) if target == "gemini" else body, ours))
        left = [one for one in found if not any(row.allows(client, target, *one) for row in ROWS)]
        assert [] == left, f"{name}, by a client of {client}: (place, the SDK's, ours)"
        compared += 1
    assert compared > 60


@pytest.mark.parametrize("target", EGRESS)
def test_what_its_own_sdk_cannot_say_is_refused_by_name_and_nothing_else(said: Said, target: str) -> None:
    for name, client, request in pairs(said, target):
        parameters, content = needed(asked(request))
        lacking = (parameters | content) - EGRESS[target].takes
        assert bool(said.unsayable(name, target)) == bool(lacking), (name, client, lacking)


COUNTED = ("input", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning")
"""What openai-python's `responses/input_tokens` has of a response's members, and a chat of Anthropic's clients says."""


def test_openai_is_asked_to_count_what_its_own_sdk_sends_for_a_response(said: Said) -> None:
    chat, compared = EGRESS["openai_chat"], 0
    for name in CALLS:
        request, heard = said.by_client(name, "anthropic_messages"), said.heard[name, "openai_responses"]
        if request is None or heard is None or said.lost[name, "openai_responses"]:
            continue
        if not chat.takes >= frozenset().union(*needed(asked(request))):
            continue
        ours = msgspec.json.decode(msgspec.json.encode(countable(request, MODEL, chat.takes)))
        theirs = {member: heard[1][member] for member in COUNTED if member in heard[1]}
        assert ours.pop("model") == MODEL
        found = list(differing(theirs, ours))
        rows = (*ROWS, *COUNTED_ASIDE)
        left = [one for one in found if not any(row.allows("anthropic_messages", "responses", *one) for row in rows)]
        assert [] == left, f"{name}: (place, the SDK's, ours)"
        compared += 1
    assert compared > 40
    assert all(row.because.stands() for row in COUNTED_ASIDE)


def test_every_row_is_needed_and_its_line_stands_where_it_says(said: Said) -> None:
    used: Counter[int] = Counter()
    for target, egress in EGRESS.items():
        for name, client, request in pairs(said, target):
            heard = said.heard[name, target]
            if heard is not None and not said.unsayable(name, target):
                ours = msgspec.json.decode(egress.encode_request(request, MODELS.get(target, MODEL), egress.takes))
                body = in_camels(heard[1]) if target == "gemini" else heard[1]
                for one in differing(body, ours):
                    used.update(at for at, row in enumerate(ROWS) if row.allows(client, target, *one))
    assert [] == [row.name for at, row in enumerate(ROWS) if not used[at]]
    assert [] == [row.because for row in ROWS if not row.because.stands()]
    assert all(cite.stands() for cite in SNAKES_BECAUSE)
