"""A request that is a form on its way up: every attempt sends the same bytes, but for the model's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engines.operations import OPERATION_KEYS
from engines.port import Outgoing
from gateway.body.prompt import Prompt
from gateway.explanation.flight import ExplainedFlight
from routing.facts import NO_NEEDS

if TYPE_CHECKING:
    from gateway.fleet.snapshot import Upstream
    from gateway.forms.form import Form
    from routing.facts import Needs


class FormPrompt(Prompt):
    """Whoever makes one calls `take` before anything else."""

    __slots__ = ("_form",)

    def take(self, form: Form) -> None:
        self._form = form

    def outgoing(self, upstream: Upstream) -> Outgoing:
        form, model = self._form, upstream.model
        headers = self._headers() + b"content-type: %b\r\n" % form.content_type
        if model == form.envelope.model:
            return Outgoing(self._path, headers, self.body)
        written = self._written
        if written is None or written[0] != model:
            self._written = written = (model, False, False, False, form.renamed(self.body, model))
        return Outgoing(self._path, headers, written[4])

    def prefix(self) -> Sequence[int]:
        return ()

    def session(self) -> str:
        return self._fields.get(b"x-session-id", b"").decode("latin-1")

    def needs(self) -> Needs:
        return NO_NEEDS


class FormFlight(ExplainedFlight):
    """Whoever makes one calls `take` before it begins."""

    def take(self, form: Form, prompt: FormPrompt) -> None:
        prompt.take(form)
        self._prompt = prompt
        self.facts = prompt.facts(OPERATION_KEYS[self.operation], self.tokens, self.principal)
        self.facts.prompt_tokens = self.tokens.prompt_tokens(form.weight_bytes)
        self.prompt_bytes = form.weight_bytes

    def commented(self) -> bool:
        held = self._settlement.held
        return self.attempt is not None and self.attempt.hold_prompt(held, len(self.request.body))
