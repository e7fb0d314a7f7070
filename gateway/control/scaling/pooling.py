"""Which engines may do each other's work: those that are asked for the same models alike, and have a price."""

from __future__ import annotations

from gateway.fleet.arms import arms_of
from gateway.settings import Settings


def groups_of(settings: Settings) -> list[tuple[str, ...]]:
    """The engines that follow their traffic and can stand in for one another, at least two together.

    They have `gpu_usd_per_hour`, and are asked in the same tier with the same weight by every arm of every model that
    asks any of them: a split that somebody wrote down is no question of price.
    """
    asked: dict[str, set[tuple[str, str, int, float]]] = {}
    for name, model in settings.models.items():
        for arm, of in arms_of(model).items():
            for target in of.targets:
                asked.setdefault(target.engine, set()).add((name, arm, target.tier, target.weight))
    alike: dict[frozenset[tuple[str, str, int, float]], list[str]] = {}
    for name, engine in settings.engines.items():
        if engine.autoscale is not None and engine.gpu_usd_per_hour and name in asked:
            alike.setdefault(frozenset(asked[name]), []).append(name)
    return [tuple(names) for names in alike.values() if len(names) > 1]


def tightest_ttft_ms(settings: Settings) -> dict[str, float]:
    """By engine, the tightest of the models that it serves."""
    tightest: dict[str, float] = {}
    for model in settings.models.values():
        if model.slo.ttft_ms is not None:
            for target in model.targets:
                tightest[target.engine] = min(model.slo.ttft_ms, tightest.get(target.engine, model.slo.ttft_ms))
    return tightest
