"""Chats of several turns: each sends the whole conversation so far, with the answers the server really gave.

Made-up answers would be unknown to the server's prefix cache, which holds what it generated; a replayed first turn
alone has nothing to reuse. A session that has not got its first answer costs no memory; one that is over, neither.
"""

from __future__ import annotations

from typing import Any

import msgspec

from loadtests.workloads.draws import draw
from loadtests.workloads.prompts import (
    OWN,
    THINK,
    TURNS,
    PrefixText,
    Turns,
    Users,
    chat,
    generation_bodies,
    user_message,
)
from loadtests.workloads.request import Request, Workload
from loadtests.workloads.spec import Sessions, lengths
from loadtests.workloads.words import Text

PATH = "/v1/chat/completions"


class _Conversation(msgspec.Struct):
    index: int
    group: int
    turn: int
    messages: list[dict[str, Any]]
    words: int


class SessionsWorkload(Workload):
    """Index i is session i; see the module."""

    multi_turn = True

    def __init__(self, spec: Sessions, model: str, seed: int, salt: str) -> None:
        text = Text(seed, salt)
        self._model = model
        self._seed = seed
        self._text = text
        self._prefixes = PrefixText(spec.prefixes, text, seed)
        self._sizes = Turns(spec.own_words, spec.output_tokens, seed)
        self._turns, self._think_ms = lengths(spec.turns), lengths(spec.think_ms)
        self._bodies = generation_bodies(spec, model)
        self._users = Users(spec.named_users, seed)
        self._going_on: dict[str, _Conversation] = {}
        self.groups = self._prefixes.groups

    @property
    def sessions_held(self) -> int:
        """Conversations in memory."""
        return len(self._going_on)

    def turns(self, index: int) -> int:
        """How many turns a session has if none fails."""
        return self._turns.of(draw(self._seed, index, TURNS))

    def request(self, index: int) -> Request:
        """See Workload."""
        return self._ask(self._begin(index), 0.0)

    def next_turn(self, session: str, answer: str) -> Request | None:
        """See Workload. Raises ValueError for a session that no request of ours belongs to."""
        conversation = self._going_on.get(session) or self._begin(session_index(session))
        turn = conversation.turn + 1
        if turn >= self.turns(conversation.index):
            self.end_session(session)
            return None
        own = self._own(conversation.index, turn)
        conversation.turn = turn
        conversation.messages += [{"role": "assistant", "content": answer}, user_message(own)]
        conversation.words += len(answer.split()) + self._sizes.own_words(conversation.index, turn)
        self._going_on[session] = conversation
        return self._ask(
            conversation, self._think_ms.of(draw(self._seed, conversation.index, THINK + 16 * turn)) / 1000
        )

    def end_session(self, session: str) -> None:
        """See Workload."""
        self._going_on.pop(session, None)

    def _own(self, index: int, turn: int) -> str:
        return self._text.opened(index, self._sizes.own_words(index, turn), OWN + 16 * turn)

    def _begin(self, index: int) -> _Conversation:
        group = self._prefixes.group(index)
        messages = chat(self._prefixes.of(group), self._own(index, 0))["messages"]
        return _Conversation(index, group, 0, messages, self._prefixes.words + self._sizes.own_words(index))

    def _ask(self, conversation: _Conversation, think_s: float) -> Request:
        tokens = self._sizes.output_tokens(conversation.index, conversation.turn)
        return Request(
            index=conversation.index,
            path=PATH,
            body=self._bodies.generation(
                {"messages": conversation.messages}, tokens, self._users.of(conversation.index)
            ),
            stream=self._bodies.stream,
            model=self._model,
            prompt_words=conversation.words,
            max_tokens=tokens,
            session=f"s{conversation.index}",
            turn=conversation.turn,
            prefix_group=conversation.group,
            think_s=think_s,
        )


def session_index(session: str) -> int:
    """The index in a session's name. Raises ValueError."""
    if not (session.startswith("s") and session.isascii() and session[1:].isdecimal()):
        raise ValueError(f"`{session[:40]}` is no session of this workload")
    return int(session[1:])
