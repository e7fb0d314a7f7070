"""The arm of one request: what its headers pin, whether it takes part at all, and else what its unit is given.

x-penstock-pin: ARM         that arm, for a preview; never counted
not who is targeted         as the control; not counted
names no unit               as the control; not counted, and counted as lost exposure
outside the range           as the control; not counted (held out, or another experiment's)
asks for what is free       what its unit is given; not counted: it is no answer of the arm's, for it or against it
any other                   what its unit is given; counted
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from engines.operations import OPERATION_KEYS, STORED
from gateway.accounts.lost import FREE
from gateway.errors import Failure
from gateway.experiments.units import REQUEST, unit_of

if TYPE_CHECKING:
    from gateway.body.envelope import Envelope
    from gateway.http.request import Request
    from gateway.identity import Principal
    from routing.experiments.experiment import Assignment, Experiment

PIN: Final = b"x-penstock-pin"
_FREE: Final = tuple([OPERATION_KEYS[operation] for operation in FREE if operation not in STORED])
"""Few: to compare with each takes less than to find none in a set."""


class Enrolment:
    """One model's experiment, with who takes part. Immutable, but for the shares of the moment and what it counts."""

    __slots__ = ("_again", "_everybody", "_headers", "_keys", "_tenants", "_unit", "experiment", "lost")

    def __init__(
        self,
        experiment: Experiment,
        unit: str,
        keys: frozenset[str],
        tenants: frozenset[str],
        headers: Mapping[bytes, bytes],
    ) -> None:
        """`unit` as the configuration spells it; `keys`, `tenants` and `headers` (in lower case) say who takes part:
        everybody, where they are empty."""
        self.experiment: Final = experiment
        self._unit: Final = unit
        self._again: Final = unit != REQUEST
        self._keys: Final = keys
        self._tenants: Final = tenants
        self._headers: Final = headers
        self._everybody: Final = not (keys or tenants or headers)
        self.lost = 0
        """Requests that named no unit, and so could not be counted."""

    def assign(
        self, request: Request, principal: Principal, record_id: bytes, parsed: Envelope, spoken: str = ""
    ) -> Assignment:
        """Raises Failure for a pin to an arm that is not there. `parsed` is its body; `spoken` what it asks for
        (`OPERATION_KEYS`)."""
        experiment = self.experiment
        fields = request.fields
        pin = fields.get(PIN)
        if pin:
            pinned = experiment.plain(pin.decode("latin-1"))
            if pinned is None:
                arms = ", ".join(experiment.arms)
                raise Failure("invalid_field", f"x-penstock-pin names no arm of this model; its arms are {arms}")
            return pinned
        if not self._everybody and not self._takes_part(fields, principal):
            return experiment.uncounted
        unit = unit_of(self._unit, request, principal, record_id, parsed)
        if not unit:
            self.lost += 1
            return experiment.uncounted
        given = experiment.assign(unit, again=self._again) or experiment.uncounted
        for free in _FREE:
            if spoken == free:
                return experiment.plain(given.arm) or given
        return given

    def _takes_part(self, fields: Mapping[bytes, bytes], principal: Principal) -> bool:
        if self._keys and principal.key_id not in self._keys:
            return False
        if self._tenants and principal.tenant not in self._tenants:
            return False
        return not [name for name, value in self._headers.items() if fields.get(name) != value]

    def serves(self, assignment: Assignment) -> bool:
        """Whether the arm that a request was given is still one: not after a rollback, nor of another experiment."""
        experiment = self.experiment
        if assignment.experiment != experiment.identity:
            return False
        return not assignment.counted or experiment.gives(assignment.arm)
