"""What is planned is not there yet; when it is, it is checked like everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import ConfigError, load_settings
from gateway.telemetry.metrics.families import BY_NAME
from tests.kubernetes.chart import planned
from tests.kubernetes.chart.helm import Refused, template
from tests.kubernetes.chart.test_presets import written


def test_no_planned_metric_exists() -> None:
    assert [] == sorted(planned.METRICS.keys() & BY_NAME.keys()), "these landed: take them out of planned.METRICS"


def test_the_modes_that_are_not_served_are_refused_by_either_helm(helm: str) -> None:
    for mode in planned.MODES:
        with pytest.raises(Refused, match=rf"autoscaling\.mode is {mode}: this version serves neither.*mode: none"):
            template(helm, "laptop", {"autoscaling": {"mode": mode}})
        with pytest.raises(Refused, match=rf"autoscaling\.mode is {mode}:"):
            template(helm, "laptop", {"autoscaling": {"mode": mode}, "x-planned": False})


@pytest.mark.parametrize("mode", planned.MODES)
def test_what_such_a_mode_writes_is_refused_by_the_gateway_and_the_rest_is_taken(tmp_path: Path, mode: str) -> None:
    config = template("helm4", "laptop", {**planned.ESCAPE, "autoscaling": {"mode": mode}}).config
    assert list(load_settings(written(tmp_path / "rest", planned.without(config)), {}).settings.engines) == ["sim"]
    with pytest.raises(ConfigError) as refused:
        load_settings(written(tmp_path / "all", config), {})
    assert "autoscale" in str(refused.value), "this landed: the chart need not refuse the mode any more"
