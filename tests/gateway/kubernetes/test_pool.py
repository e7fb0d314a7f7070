"""What makes a pod of an InferencePool a replica, and what is told of it: by difference."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.port import Replica
from gateway.control.membership import MemberDifference
from gateway.kubernetes.pool import InferencePool, PoolReplicas, ServingPod


def pod(state: str, address: str = "10.0.0.1", uid: str = "u", **labels: str) -> ServingPod:
    ready = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(state == "ready")}]
    metadata: dict[str, Any] = {"name": "a", "uid": uid, "labels": labels}
    if state == "terminating":
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    phase = "Failed" if state == "failed" else "Running"
    it = {"metadata": metadata, "spec": {}, "status": {"phase": phase, "podIP": address, "conditions": ready}}
    return msgspec.json.decode(msgspec.json.encode(it), type=ServingPod)


A = Replica("a", "http://10.0.0.1:8000", life="u")


def found(*ports: int) -> PoolReplicas:
    it = PoolReplicas()
    it.listening(ports)
    return it


def test_a_pod_comes_drains_comes_back_and_goes() -> None:
    one = found(8000)
    assert one.changed("a", pod("starting", "")) == MemberDifference()
    assert one.changed("a", pod("starting")) == MemberDifference()
    assert one.changed("a", pod("ready")) == MemberDifference(added=(A,))
    assert one.changed("a", pod("ready")) == MemberDifference()
    assert one.changed("a", pod("unready")) == MemberDifference(draining=("a",))
    assert one.changed("a", pod("ready")) == MemberDifference(resumed=("a",))
    assert one.changed("a", pod("terminating")) == MemberDifference(draining=("a",))
    assert one.changed("a", pod("failed")) == MemberDifference(removed=("a",))
    assert one.gone("a") == MemberDifference()
    assert len(one) == 0


def test_a_pod_of_the_same_name_and_address_and_another_uid_is_another_replica() -> None:
    one = found(8000, 8001)
    one.changed("a", pod("ready"))
    assert [(each.id, each.life) for each in one.changed("a", pod("ready", uid="v")).added] == [
        ("a", "v"),
        ("a:8001", "v"),
    ]
    one.changed("a", pod("terminating", uid="v"))
    assert one.changed("a", pod("starting", uid="w")) == MemberDifference(removed=("a", "a:8001"))
    now = one.changed("a", pod("ready", uid="w"))
    assert ([each.life for each in now.added], now.resumed) == (["w", "w"], ())


def test_each_target_port_is_a_replica_and_other_ports_are_others() -> None:
    one = found(8000, 8001)
    both = one.changed("a", pod("ready", "fd00::1", **{"topology.kubernetes.io/zone": "eu-1a"})).added
    assert both == (
        Replica("a", "http://[fd00::1]:8000", "eu-1a", life="u"),
        Replica("a:8001", "http://[fd00::1]:8001", "eu-1a", life="u"),
    )
    assert one.changed("a", pod("unready", "fd00::1")).draining == ("a", "a:8001")
    moved = one.listening((9000,))
    assert ([each.url for each in moved.added], moved.removed) == (["http://[fd00::1]:9000"], ("a:8001",))
    assert one.listening(()) == MemberDifference(removed=("a",))


def test_ports_that_come_while_a_pod_drains_drain_too() -> None:
    one = found(8000)
    one.changed("a", pod("ready"))
    one.changed("a", pod("terminating"))
    more = one.listening((8000, 8001))
    assert ([each.id for each in more.added], more.draining) == (["a:8001"], ("a:8001",))


def test_bookmarks_and_pods_without_anything_are_read() -> None:
    assert msgspec.json.decode(b'{"metadata":{"resourceVersion":"7"}}', type=InferencePool).spec is None
    assert found(8000).changed("a", msgspec.json.decode(b"{}", type=ServingPod)) == MemberDifference()


STATES = st.sampled_from(["ready", "starting", "unready", "terminating", "failed", "gone"])
STEPS = st.lists(st.tuples(st.sampled_from("ab"), STATES) | st.sampled_from([(), (1,), (1, 2)]), max_size=15)


@settings(deadline=None)
@given(STEPS)
def test_differences_add_up_to_what_pods_and_ports_say(history: list[Any]) -> None:
    it, listed, draining = PoolReplicas(), set[str](), set[str]()
    states: dict[str, str] = {}
    ports: tuple[int, ...] = ()
    for step in history:
        if len(step) == 2 and isinstance(step[0], str):
            name, state = step
            states[name] = state
            difference = it.gone(name) if state == "gone" else it.changed(name, pod(state))
        else:
            ports = step
            difference = it.listening(ports)
        listed |= {replica.id for replica in difference.added}
        listed -= set(difference.removed)
        draining = (draining - set(difference.removed) - set(difference.resumed)) | set(difference.draining)
        ready = {name for name, state in states.items() if state == "ready"}
        serving = {f"{name}:{port}" if at else name for name in ready for at, port in enumerate(ports)}
        assert listed - draining == serving
        assert draining <= listed
        assert len(it) == len(listed)
        ended = {name for name, state in states.items() if state in ("failed", "gone")}
        assert not {id.partition(":")[0] for id in listed} & ended
