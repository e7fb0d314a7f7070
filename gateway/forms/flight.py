"""A request that is a form on its way up: every attempt sends the same bytes, but for the model's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engines.port import Outgoing
from gateway.body.prompt import Prompt
from gateway.explanation.flight import ExplainedFlight
from routing.facts import NO_NEEDS

if TYPE_CHECKING:
    from gateway.explanation.explainer import Explainer
    from gateway.fleet.snapshot import Upstream
    from gateway.forms.form import Form
    from gateway.incoming import Here, Incoming
    from routing.facts import Needs


class FormPrompt(Prompt):
    """Of one form."""

    __slots__ = ("_form",)

    def __init__(self, incoming: Incoming, form: Form) -> None:
        request = incoming.request
        super().__init__(incoming.operation, request.body, incoming.parsed, request.fields, incoming.request_id)
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
    """See the module."""

    def __init__(self, incoming: Incoming, here: Here, explainer: Explainer, form: Form) -> None:
        super().__init__(incoming, here, explainer, FormPrompt(incoming, form))
        self.facts.prompt_tokens = self.tokens.prompt_tokens(form.weight_bytes)
        self.prompt_bytes = form.weight_bytes
