"""What the configuration says of an experiment, as releases: one for each arm that is not the control."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping
from datetime import time
from typing import TYPE_CHECKING, Final

from gateway.control.releases.spec import BanditPlan, Hook, ReleaseSpec
from routing.gate.guardrail import Guardrail
from routing.gate.rollout import RampPlan, RampWindow, Step

if TYPE_CHECKING:
    from gateway.experiments.plan import Plan
    from gateway.settings import Settings
    from gateway.settings.sections.experiment import ExperimentSection
    from gateway.settings.sections.feedback import MetricSection
    from gateway.settings.sections.models import Objective

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
REQUEST: Final = "request"


def specs_of(plans: Iterable[Plan], settings: Settings) -> list[ReleaseSpec]:
    """Those of all experiments."""
    found = []
    for plan in plans:
        section = plan.section
        ramp, rails = _ramp(section), guardrails_of(section, settings.models[plan.model].slo, settings.feedback.metrics)
        hooks = tuple(Hook(hook.kind, str(hook.url), hook.timeout_s, dict(hook.metadata)) for hook in section.webhooks)
        bandit = _bandit(section, rails)
        for position, arm in enumerate(plan.arms):
            if position:
                share = plan.shares[arm]
                found.append(
                    ReleaseSpec(
                        plan.identity,
                        plan.model,
                        plan.name,
                        arm,
                        position,
                        plan.arms[0],
                        share,
                        section.unit != REQUEST,
                        ramp,
                        rails,
                        hooks,
                        alone=len(plan.arms) == 2,
                        bandit=bandit,
                        most=plan.most[arm],
                    )
                )
    return found


def guardrails_of(
    section: ExperimentSection, slo: Objective, told: Mapping[str, MetricSection]
) -> tuple[Guardrail, ...]:
    """Those of one experiment; `told` are the metrics that feedback may be given of."""
    objectives = {"ttft": slo.ttft_ms, "tpot": slo.tpot_ms, "duration": slo.duration_ms}
    return tuple(
        Guardrail(
            metric,
            alpha=rail.alpha,
            tolerance=rail.rho,
            margin=max(rail.margin, rail.rho * 1.01),
            slo=objectives.get(metric),
            is_rate=metric not in told or told[metric].type == "boolean",
            lower_is_better=rail.better != "higher",
        )
        for metric, rail in section.guardrails.items()
    )


def _bandit(section: ExperimentSection, rails: Iterable[Guardrail]) -> BanditPlan | None:
    told = section.bandit
    if told is None:
        return None
    from routing.experiments.bandit import Goal  # numpy

    (rail,) = [rail for rail in rails if rail.metric == told.metric]
    return BanditPlan(told.metric, Goal(rail.rate, told.floor, told.min_units, told.delta), told.every_s)


def _ramp(section: ExperimentSection) -> RampPlan:
    return RampPlan(
        tuple(Step(step.weight / 100, step.bake_s) for step in section.steps),
        section.min_units,
        section.max_hold_s,
        tuple(
            RampWindow(
                frozenset(DAYS.index(day) for day in window.days),
                time.fromisoformat(window.start),
                time.fromisoformat(window.end),
                zoneinfo.ZoneInfo(window.timezone),
            )
            for window in section.windows
        ),
    )
