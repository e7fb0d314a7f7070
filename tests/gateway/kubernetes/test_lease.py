"""Who holds the Lease: on clocks of the test's own, whose machines disagree about the hour."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kubernetes.api import ApiError
from gateway.kubernetes.lease import Candidate, lease_of
from tests.kubernetes.fake_api import Api, Request


class Machine:
    """A gateway with clocks of its own, and the API server that all ask."""

    def __init__(self, api: Api, name: str, skew_s: float = 0.0) -> None:
        self.api = api
        self.candidate = Candidate(name, "lead", "default")
        self.skew_s = skew_s

    def look(self, at: float) -> None:
        answer = self._ask("GET", "/lead")
        self.candidate.saw(answer.document if answer.status == 200 else None, at + self.skew_s)

    def turn(self, at: float, *, lost: bool = False) -> int:
        """Look, and write what there is to write; the status of the write, 0 where there is none. `lost`: its answer
        does not come."""
        self.look(at)
        return self.write(at, lost=lost)

    def write(self, at: float, *, lost: bool = False) -> int:
        now = at + self.skew_s
        claim = self.candidate.claim(now, 1e9 + 3600.0 * self.skew_s + at, {"a": self.candidate.identity})
        if claim is None:
            return 0
        answer = self._ask("PUT", "/lead", claim) if "uid" in claim["metadata"] else self._ask("POST", "", claim)
        if answer.status < 300 and not lost:
            self.candidate.wrote(answer.document, now, now)
        status: int = answer.status
        return status

    def release(self, at: float) -> None:
        lease = self.candidate.released(1e9 + at, {})
        assert lease is not None
        assert self._ask("PUT", "/lead", lease).status == 200

    def leads(self, at: float) -> bool:
        return self.candidate.leads(at + self.skew_s)

    def _ask(self, method: str, name: str, body: Any = None) -> Any:
        path = f"/apis/coordination.k8s.io/v1/namespaces/default/leases{name}"
        text = b"" if body is None else json.dumps(body).encode()
        answer = self.api.answer(Request(method, path, {"content-type": "application/json"}, text))
        return copy.deepcopy(answer)


def machines(*skews: float) -> list[Machine]:
    api = Api()
    return [Machine(api, f"gw-{number}", skew) for number, skew in enumerate(skews)]


def test_the_first_to_come_holds_it_for_as_long_as_it_renews_it() -> None:
    first, second = machines(0.0, 500.0)
    assert (first.turn(0.0), second.turn(0.1)) == (201, 0)
    for at in range(2, 200, 2):
        assert (first.turn(at), second.turn(at + 0.5)) == (200, 0)
        assert (first.leads(at), second.leads(at)) == (True, False)
    assert (second.candidate.holder, second.candidate.annotations) == ("gw-0", {"a": "gw-0"})


def test_when_its_holder_is_gone_it_is_claimed_by_our_own_clock_and_counts_a_transition() -> None:
    first, second = machines(0.0, -7200.0)
    first.turn(0.0)
    assert second.turn(1.0) == 0
    assert not first.leads(10.0), "it must have stopped before anybody may claim it"
    assert (second.turn(15.9), second.turn(16.0)) == (0, 200)
    assert second.leads(16.0)
    spec = first.api.store.objects["leases.coordination.k8s.io", "default", "lead"]["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("gw-1", 1)
    assert first.turn(17.0) == 0


def test_of_two_that_claim_it_at_once_one_gets_a_conflict() -> None:
    first, second = machines(0.0, 0.0)
    first.look(0.0)
    second.look(0.0)
    assert (first.write(0.1), second.write(0.1)) == (201, 409)
    first.look(30.0)
    second.look(30.0)
    assert (second.write(60.0), first.write(60.0)) == (200, 409)
    assert (first.leads(60.1), second.leads(60.1)) == (False, True)


def test_one_that_was_released_is_claimed_at_once() -> None:
    first, second = machines(0.0, 0.0)
    first.turn(0.0)
    second.look(0.5)
    first.release(1.0)
    assert second.turn(1.1) == 200
    assert second.leads(1.2)
    assert second.candidate.annotations == {"a": "gw-1"}


def test_what_somebody_else_wrote_into_it_stays() -> None:
    (first,) = machines(0.0)
    first.turn(0.0)
    it = first.api.store.objects["leases.coordination.k8s.io", "default", "lead"]
    it["metadata"]["labels"] = {"team": "b"}
    it["metadata"]["annotations"]["note"] = "c"
    first.turn(2.0)
    metadata = first.api.store.objects["leases.coordination.k8s.io", "default", "lead"]["metadata"]
    assert (metadata["labels"], metadata["annotations"]["note"]) == ({"team": "b"}, "c")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.floats(0.0, 8.0), st.sampled_from(["turn", "look", "write", "lost"])),
        max_size=60,
    ),
    st.tuples(*[st.floats(-1e4, 1e4)] * 3),
)
def test_never_do_two_lead_at_once_whatever_is_late_lost_or_skewed(
    steps: list[tuple[int, float, str]], skews: tuple[float, ...]
) -> None:
    all_of_them = machines(*skews)
    at = 0.0
    for who, after_s, what in steps:
        at += after_s
        one = all_of_them[who]
        if what == "look":
            one.look(at)
        elif what == "write":
            one.write(at)  # upon what it saw some time ago
        else:
            one.turn(at, lost=what == "lost")
        assert sum(each.leads(at) for each in all_of_them) <= 1


@pytest.mark.parametrize("text", [b"", b"[]", b'{"spec": {}}', b'{"metadata": {"annotations": {"a": 1}}}', b"\xff"])
def test_what_is_no_lease_is_told(text: bytes) -> None:
    with pytest.raises(ApiError, match="the API server's Lease cannot be read"):
        lease_of(text)
