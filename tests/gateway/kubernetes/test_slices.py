"""What makes an endpoint a replica, and what is told of it: by difference."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.port import Replica
from gateway.control.membership import MemberDifference
from gateway.kubernetes.slices import ServiceReplicas, Slice
from tests.gateway.kubernetes.api_server import endpoint


def slice_of(*endpoints: Any, port: int | None = 8000, kind: str = "IPv4") -> Slice:
    made = {"addressType": kind, "endpoints": list(endpoints), "ports": [{"name": "http", "port": port}]}
    return msgspec.json.decode(msgspec.json.encode(made), type=Slice)


A = Replica("a", "http://10.0.0.1:8000", life="uid-a")


def test_a_pod_comes_drains_and_goes() -> None:
    found = ServiceReplicas(None)
    assert found.changed("s", slice_of(endpoint("a", "10.0.0.1", ready=False))) == MemberDifference()
    assert found.changed("s", slice_of(endpoint("a", "10.0.0.1"))) == MemberDifference(added=(A,))
    assert found.changed("s", slice_of(endpoint("a", "10.0.0.1"))) == MemberDifference()
    leaving = endpoint("a", "10.0.0.1", ready=False, terminating=True)
    assert found.changed("s", slice_of(leaving)) == MemberDifference(draining=("a",))
    assert found.changed("s", slice_of()) == MemberDifference(removed=("a",))
    assert len(found) == 0


def test_one_that_is_not_ready_for_a_while_keeps_what_it_has() -> None:
    found = ServiceReplicas(None)
    found.changed("s", slice_of(endpoint("a", "10.0.0.1")))
    assert found.changed("s", slice_of(endpoint("a", "10.0.0.1", ready=False))) == MemberDifference(draining=("a",))
    assert found.changed("s", slice_of(endpoint("a", "10.0.0.1"))) == MemberDifference(resumed=("a",))


def test_what_is_not_said_of_readiness_means_ready() -> None:
    found = ServiceReplicas(None)
    assert found.changed("s", slice_of(endpoint("a", "10.0.0.1", ready=None))).added == (A,)


def test_a_pod_that_is_moved_to_another_slice_never_leaves() -> None:
    found = ServiceReplicas(None)
    found.changed("s", slice_of(endpoint("a", "10.0.0.1")))
    assert found.changed("t", slice_of(endpoint("a", "10.0.0.1"))) == MemberDifference()
    assert found.gone("s") == MemberDifference()
    assert found.gone("t") == MemberDifference(removed=("a",))
    assert found.gone("t") == MemberDifference()


def test_a_pod_of_the_same_name_at_another_address_is_told_as_at_a_new_place() -> None:
    found = ServiceReplicas(None)
    found.changed("s", slice_of(endpoint("a", "10.0.0.1")))
    now = found.changed("s", slice_of(endpoint("a", "10.0.0.2", uid="another")))
    assert now == MemberDifference(added=(Replica("a", "http://10.0.0.2:8000", life="another"),))


def test_a_pod_of_the_same_name_and_address_and_another_uid_is_another_replica() -> None:
    """As of a StatefulSet on its node's network; whoever missed the deletion hears of nothing but the new one."""
    found = ServiceReplicas(None)
    found.changed("s", slice_of(endpoint("a", "10.0.0.1", ready=False), endpoint("b", "10.0.0.2")))
    found.changed("s", slice_of(endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2")))
    ready = endpoint("a", "10.0.0.1", uid="another")
    now = found.changed("s", slice_of(ready, endpoint("b", "10.0.0.2")))
    assert now == MemberDifference(added=(Replica("a", "http://10.0.0.1:8000", life="another"),))
    starting = endpoint("a", "10.0.0.1", uid="third", ready=False)
    assert found.changed("s", slice_of(starting, endpoint("b", "10.0.0.2"))) == MemberDifference(removed=("a",))
    assert found.changed("s", slice_of(starting)) == MemberDifference(removed=("b",))
    ready = endpoint("a", "10.0.0.1", uid="third")
    assert found.changed("s", slice_of(ready)).added == (Replica("a", "http://10.0.0.1:8000", life="third"),)


def test_a_slice_that_still_tells_of_the_end_of_a_pod_does_not_end_the_one_that_follows() -> None:
    found = ServiceReplicas(None)
    found.changed("s", slice_of(endpoint("a", "10.0.0.1")))
    found.changed("s", slice_of(endpoint("a", "10.0.0.1", ready=False, terminating=True)))
    now = found.changed("t", slice_of(endpoint("a", "10.0.0.1", uid="another")))
    assert now == MemberDifference((Replica("a", "http://10.0.0.1:8000", life="another"),), resumed=("a",))
    assert found.gone("s") == MemberDifference()


@pytest.mark.parametrize(
    ("port", "url"), [(None, "http://10.0.0.1:8000"), ("http", "http://10.0.0.1:8000"), (9000, "http://10.0.0.1:9000")]
)
def test_the_port_is_a_number_a_name_or_the_first(port: int | str | None, url: str) -> None:
    assert [one.url for one in ServiceReplicas(port).changed("s", slice_of(endpoint("a", "10.0.0.1"))).added] == [url]


def test_a_port_that_is_not_there_is_no_replica() -> None:
    assert ServiceReplicas("grpc").changed("s", slice_of(endpoint("a", "10.0.0.1"))) == MemberDifference()
    assert ServiceReplicas(None).changed("s", slice_of(endpoint("a", "10.0.0.1"), port=None)) == MemberDifference()
    assert ServiceReplicas(None).changed("s", slice_of(endpoint("a", "x.example"), kind="FQDN")) == MemberDifference()
    assert ServiceReplicas(None).changed("s", Slice()) == MemberDifference()


def test_addresses_of_ipv6_zones_and_endpoints_without_a_pod() -> None:
    one = endpoint("a", "fd00::1", zone="eu-1a")
    other = {"addresses": ["10.0.0.7"], "conditions": {}}
    added = ServiceReplicas(None, "https").changed("s", slice_of(one, other)).added
    assert added == (
        Replica("a", "https://[fd00::1]:8000", "eu-1a", life="uid-a"),
        Replica("10.0.0.7:8000", "https://10.0.0.7:8000"),
    )


STATES = st.sampled_from(["ready", "not ready", "terminating"])
SLICES = st.dictionaries(st.sampled_from("abc"), STATES, max_size=3)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("st"), st.none() | SLICES), max_size=12))
def test_differences_add_up_to_what_the_slices_say(history: list[tuple[str, dict[str, str] | None]]) -> None:
    """Whatever came before: nobody serves of whom no slice says that it is ready, or one that it terminates; nobody is
    there whom no slice names; and each difference is one."""
    found, listed, draining = ServiceReplicas(None), set[str](), set[str]()
    now: dict[str, dict[str, str]] = {}
    for name, states in history:
        if states is None:
            difference = found.gone(name)
            now.pop(name, None)
        else:
            now[name] = states
            made = [
                endpoint(id, f"10.0.0.{ord(id)}", ready=state == "ready", terminating=state == "terminating")
                for id, state in states.items()
            ]
            difference = found.changed(name, slice_of(*made))
        listed |= {replica.id for replica in difference.added}
        listed -= set(difference.removed)
        draining = (draining - set(difference.removed) - set(difference.resumed)) | set(difference.draining)
        said = {id: [one[id] for one in now.values() if id in one] for one in now.values() for id in one}
        serving = {id for id, states in said.items() if "ready" in states and "terminating" not in states}
        assert listed - draining == serving
        assert listed <= said.keys()
        assert draining <= listed
        assert len(found) == len(listed)


def test_of_a_slice_that_grows_nobody_is_read_anew_and_of_one_that_cannot_be_read_nothing_is_taken() -> None:
    found = ServiceReplicas(None)
    a, b = endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2")
    found.changed("s", slice_of(a, b))
    known = found._slices["s"].ones
    assert [one.id for one in found.changed("s", slice_of(a, b, endpoint("c", "10.0.0.3"))).added] == ["c"]
    assert all(one is was for one, was in zip(found._slices["s"].ones, known, strict=False))
    for broken in (slice_of(a, {"addresses": 1}, b), slice_of(a, b)):
        if broken.endpoints is not None and len(broken.endpoints) == 3:
            with pytest.raises(msgspec.DecodeError):
                found.changed("s", broken)
            assert len(found) == 3
        else:
            assert found.changed("s", broken) == MemberDifference(removed=("c",))


def b_at(address: str) -> Replica:
    return Replica("b", f"http://{address}:8000", life="uid-b")


def test_two_endpoints_of_a_slice_that_change_places_or_pods_are_told_as_they_are() -> None:
    found = ServiceReplicas(None)
    a, b = endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2")
    found.changed("s", slice_of(a, b))
    assert found.changed("s", slice_of(b, a)) == MemberDifference()
    other = endpoint("c", "10.0.0.1")
    c = Replica("c", "http://10.0.0.1:8000", life="uid-c")
    assert found.changed("s", slice_of(b, other)) == MemberDifference((c,), ("a",))
    twice = endpoint("b", "10.0.0.9")
    assert found.changed("s", slice_of(b, twice)) == MemberDifference((b_at("10.0.0.9"),), ("c",))
    assert found.changed("s", slice_of(b)) == MemberDifference((b_at("10.0.0.2"),))


def test_what_is_kept_of_a_list_does_not_keep_its_page() -> None:
    """A list has 500 slices to a page, and a relist finds a few of them changed."""

    def page(ready: bool) -> tuple[bytes, Slice]:
        made = {
            "endpoints": [endpoint("a", "10.0.0.1", ready=ready), endpoint("b", "10.0.0.2")],
            "ports": [{"port": 1}],
        }
        text = msgspec.json.encode(made)
        return text, msgspec.json.decode(text, type=Slice)

    found = ServiceReplicas(None)
    for ready in (True, False):
        text, now = page(ready)
        found.changed("s", now)
        with_it = sys.getrefcount(text)
        del now
        assert with_it > sys.getrefcount(text) == 2, "two endpoints were cut from it"
    assert [bytes(one) for one in found._slices["s"].told] == [bytes(one) for one in page(False)[1].endpoints or ()]
