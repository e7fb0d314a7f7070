"""What is planned is not there yet; when it is, it is checked like everything else."""

from __future__ import annotations

import pytest

from gateway.telemetry.metrics.families import BY_NAME
from tests.kubernetes.chart import planned
from tests.kubernetes.chart.helm import Refused, template


def test_no_planned_metric_exists() -> None:
    assert [] == sorted(planned.METRICS.keys() & BY_NAME.keys()), "these landed: take them out of planned.METRICS"


def test_the_modes_that_are_not_served_are_refused_by_either_helm(helm: str) -> None:
    for mode in planned.MODES:
        with pytest.raises(Refused, match=rf"autoscaling\.mode is {mode}: this version does not serve it.*mode: none"):
            template(helm, "laptop", {"autoscaling": {"mode": mode}})
        with pytest.raises(Refused, match=rf"autoscaling\.mode is {mode}:"):
            template(helm, "laptop", {"autoscaling": {"mode": mode}, "x-planned": False})
