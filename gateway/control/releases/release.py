"""One release: where its ramp is, its evidence, and how both are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from gateway.control.releases.kept import MOST_UNSENT, KeptRelease
from gateway.control.releases.spec import ReleaseSpec
from gateway.store.releases.messages import ReleaseChange, StoredDecision, StoredEvidence, StoredRelease
from routing.gate.gate import Gate, Reading
from routing.gate.observation import Observation
from routing.gate.rollout import RAMPING, RampDecision, Rollout
from routing.gate.rounds import Round

log = structlog.get_logger()


class Release:
    """See the module."""

    def __init__(self, spec: ReleaseSpec, *, apart: bool) -> None:
        """`apart`: what is seen here is a part of it, as other gateways serve it too, or what the store has of it from
        before was not read yet."""
        self.spec = spec
        self.ramp = Rollout(spec.ramp, spec.share)
        self.version = 0
        """Of the stored one; 0: none is."""
        self.unsent: list[ReleaseChange] = []
        """What could not be stored yet, and took effect here."""
        self._apart = apart
        self._round = Round(0)
        self.gate = self._new_gate()
        """Of what is seen by all gateways, where this one decides; of what is seen here, otherwise."""
        self.local = self._new_gate() if apart else self.gate
        """Of what is seen here."""

    def _new_gate(self) -> Gate:
        return Gate(self.spec.guardrails, arm=self.spec.position, sticky=self.spec.sticky)

    def use(self, spec: ReleaseSpec) -> None:
        """Steps, windows or guardrails may be others now. With other guardrails, evidence begins anew."""
        before, self.spec = self.spec, spec
        self.ramp.use(spec.ramp)
        if self._is_files(self.ramp):
            self.ramp.share = spec.share
        if (before.guardrails, before.sticky) != (spec.guardrails, spec.sticky):
            self.forget()

    def set_apart(self, apart: bool) -> None:
        """From now on what is seen here is a part of it, or all."""
        if apart != self._apart:
            self._apart = apart
            self.local = self._new_gate() if apart else self.gate

    def _is_files(self, ramp: Rollout) -> bool:
        """Whether nobody has decided anything, so that the file says the share."""
        return self.spec.bandit is None and not self.spec.ramp.steps and ramp.state == RAMPING

    def forget(self) -> None:
        """Evidence begins anew."""
        self.gate = self._new_gate()
        self.local = self._new_gate() if self._apart else self.gate

    def at(self, now_s: float, wall_s: float) -> None:
        """It is now, by a clock that never steps and by one that does."""
        if self._round.since_ms != self.ramp.since_ms:
            self._round = Round(self.ramp.since_ms)
        self._round.at(now_s, wall_s)

    def tell(self, seen: Sequence[Observation], *, own: bool, decides: bool) -> None:
        """This was seen, here (`own`) or elsewhere, of whatever experiment. What is of a ramp before this one says
        nothing of it."""
        if own:
            self.local.tell_all(self.spec.experiment, self._round, seen)
        if self.gate is not self.local and decides:
            self.gate.tell_all(self.spec.experiment, self._round, seen)

    def kept(self) -> KeptRelease:
        """As a restart is to find it; how long it has baked is the store's to say."""
        ramp = self.ramp.kept() | {"baked_s": 0.0, "held_s": 0.0, "held_told": False, "why": ""}
        return KeptRelease(self.spec.experiment, self.spec.arm, ramp, list(self.unsent[-MOST_UNSENT:]))

    def go_on(self, kept: KeptRelease) -> None:
        """From where it was before a restart, until the store is read: its version stays 0, so the store's counts."""
        ramp = Rollout(self.spec.ramp, self.spec.share)
        try:
            ramp.restore(kept.ramp)
            if not 0.0 <= ramp.share <= 1.0:
                raise ValueError(f"a share of {ramp.share}")
        except (KeyError, TypeError, ValueError) as error:
            log.warning("ramp_unreadable", model=self.spec.model, arm=self.spec.arm, why=str(error))
            return
        if self._is_files(ramp):
            ramp.share = self.spec.share
        self.ramp = ramp
        self.unsent = list(kept.unsent)
        if self.unsent:
            self.version = self.unsent[-1].release.version

    # -- what changes it -----------------------------------------------------------------------------------------------

    def after(self, decision: RampDecision, at_s: float) -> Rollout:
        """The ramp as it is once a decision is carried out at this Unix time."""
        ramp = Rollout(self.spec.ramp, self.spec.share)
        ramp.restore(self.ramp.kept())
        ramp.done(decision, int(at_s * 1e3))
        if decision.action == "start" and not self.spec.ramp.steps:
            ramp.share = self.spec.share
        return ramp

    def change(self, decision: RampDecision, at_s: float) -> ReleaseChange:
        """What a decision makes of the stored one."""
        told = StoredDecision(
            int(at_s * 1e3),
            decision.action,
            decision.before,
            decision.after,
            decision.sentence,
            decision.by,
            msgspec.json.encode(self.numbers()),
        )
        stops = decision.action in ("rollback", "abort")
        return ReleaseChange(self._stored(self.after(decision, at_s), self.version + 1), told, stops)

    def progress(self) -> ReleaseChange:
        """How far it is, where nothing was decided."""
        return ReleaseChange(self._stored(self.ramp, self.version), None)

    def _stored(self, ramp: Rollout, version: int) -> StoredRelease:
        spec, kept = self.spec, msgspec.msgpack.encode(ramp.kept())
        return StoredRelease(spec.experiment, spec.arm, spec.model, spec.name, version, kept)

    def done(self, decision: RampDecision, at_s: float) -> None:
        """A decision takes effect here, as of this Unix time."""
        self._become(self.after(decision, at_s))

    def adopt(self, stored: StoredRelease, *, progress: bool) -> bool:
        """The store has it so; returns whether the share is another. `progress`: believe how far it is, too."""
        if self.unsent or stored.version < self.version or (stored.version == self.version and not progress):
            return False
        try:
            ramp = Rollout(self.spec.ramp, self.spec.share)
            ramp.restore(msgspec.msgpack.decode(stored.ramp))
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            log.error("release_unreadable", model=self.spec.model, arm=self.spec.arm, why=str(error))
            return False
        self.version = stored.version
        share = self.ramp.share
        self._become(ramp)
        return ramp.share != share

    def _become(self, ramp: Rollout) -> None:
        before, self.ramp = self.ramp, ramp
        if ramp.round != before.round or before.share == 0.0:
            self.forget()
        elif ramp.share != before.share and ramp.share > 0.0:
            self.gate.begin_step()
            if self.local is not self.gate:
                self.local.begin_step()

    # -- evidence ------------------------------------------------------------------------------------------------------

    async def evidence(self) -> StoredEvidence:
        """As it is now. Encoded piece by piece, so that it holds the loop for a millisecond at a time; nothing may be
        told meanwhile."""
        number, encode = self.ramp.round, msgspec.msgpack.encode
        state: dict[str, Any] = {"rates": {}, "amounts": {}, "told": {}}
        for where, name, piece in self.gate.pieces():
            (state[where] if where else state)[name] = msgspec.Raw(encode(piece))
            await asyncio.sleep(0)
        return StoredEvidence(self.spec.experiment, self.spec.arm, number, encode(state))

    def recall(self, stored: StoredEvidence) -> None:
        """Go on from what was stored, if it is of this round and of these guardrails."""
        if stored.round != self.ramp.round:
            return
        gate = self._new_gate()
        try:
            gate.restore(msgspec.msgpack.decode(stored.evidence))
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            log.warning("evidence_begins_anew", model=self.spec.model, arm=self.spec.arm, why=str(error))
            return
        if self.local is self.gate:
            self.local = gate
        self.gate = gate

    def numbers(self) -> dict[str, Any]:
        """What a decision was made of."""
        gate = self.gate
        return {
            "requests": {"control": gate.requests[0], "canary": gate.requests[1]},
            "units": {"all": gate.units.units, "canary": gate.units.canary},
            "load_ratio": round(gate.load_ratio, 3),
            "evidence": [reading_of(one) for one in gate.readings() if one.events],
        }


def reading_of(one: Reading) -> dict[str, Any]:
    """As JSON."""
    return {
        "metric": one.metric,
        "test": one.test,
        "part": round(one.part, 4),
        "events": one.events,
        "canary_events": one.canary_events,
        "expected_events": round(one.expected, 2),
    }
