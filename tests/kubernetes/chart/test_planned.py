"""What is planned is not there yet; when it is, it is checked like everything else."""

from __future__ import annotations

from engines.kinds.autoscaling import AutoscaleSection
from gateway.settings.schema import Settings
from gateway.telemetry.metrics.families import BY_NAME
from tests.kubernetes.chart import planned


def test_no_planned_metric_exists() -> None:
    assert [] == sorted(planned.METRICS.keys() & BY_NAME.keys()), "these landed: take them out of planned.METRICS"


def test_no_planned_key_exists() -> None:
    assert [] == sorted(planned.KEYS & Settings.model_fields.keys()), "these landed: take them out of planned.KEYS"
    landed = planned.AUTOSCALE_KEYS & AutoscaleSection.model_fields.keys()
    assert [] == sorted(landed), "these landed: take them out of planned.AUTOSCALE_KEYS"
