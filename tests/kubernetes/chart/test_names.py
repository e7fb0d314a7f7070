"""Names of releases are the user's: whatever Helm takes must make objects that an API server takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.chart.helm import LATEST, Refused, template
from tests.kubernetes.chart.schemas import complaints

GROUP: dict[str, Any] = {"model": "m", "workload": "LeaderWorkerSet", "nodes": 2}

RELEASES = (
    "y",
    "no",
    "1",
    "1e3",
    "0x10",
    "1.5",
    "null",
    "true",
    "a.b",
    "my-penstock",
    "x" * 53,
    "9" + "-a" * 26,
    "a" + ".b" * 26,
)
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def labels(node: Any) -> Iterator[tuple[str, Any]]:
    """Every label and selector, at any depth."""
    if isinstance(node, list):
        for item in node:
            yield from labels(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("labels", "matchLabels") or (key == "selector" and "matchLabels" not in (value or {})):
                yield from value.items()
            else:
                yield from labels(value)


@pytest.mark.parametrize("release", RELEASES)
def test_any_release_name_makes_valid_objects(helm: str, release: str) -> None:
    values = {"autoscaling": {"mode": "keda"}, "engines": {"e" * 25: GROUP}}
    objects = template(helm, "fleet", values, release=release)
    assert [] == complaints(objects, LATEST)
    assert [] == [name for it in objects if not DNS_LABEL.fullmatch(name := it["metadata"]["name"])]
    assert [] == [pair for it in objects for pair in labels(it) if not isinstance(pair[1], str)]
    assert [] == [pair for it in objects for pair in labels(it) if not LABEL_VALUE.fullmatch(pair[1])]


def test_names_that_are_cut_or_changed_stay_apart() -> None:
    releases = ("a.b", "a-b", "x" * 52 + "y", "x" * 53, "1", "p1", "penstock", "penstock.1")
    assert len(releases) == len(
        {template("helm4", "laptop", release=release).the("ConfigMap")["metadata"]["name"] for release in releases}
    )


def test_a_name_of_ones_own_is_taken_as_it_is(helm: str) -> None:
    objects = template(helm, "laptop", {"fullnameOverride": "llm"})
    assert {"llm", "llm-sim"} == {it["metadata"]["name"] for it in objects.of("Deployment")}


def test_an_engine_whose_name_no_object_can_have_is_refused(helm: str) -> None:
    with pytest.raises(Refused, match="Llama_8B"):
        template(helm, "laptop", {"engines": {"Llama_8B": {"model": "m"}}})
