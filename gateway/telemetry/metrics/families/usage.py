"""What requests used: tokens and dollars."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.telemetry.metrics.family import counter
from gateway.telemetry.metrics.series import Series
from gateway.telemetry.metrics.text import head, number, pairs

TOKENS = counter(
    "penstock_tokens_total",
    "Tokens of settled requests; input includes cached ones, output includes reasoning ones.",
    *("model", "engine", "arm", "kind"),
)
COST = counter(
    "penstock_cost_usd_total",
    "US dollars that settled requests cost, where a price is known.",
    *("model", "engine", "arm"),
)
UNPRICED = counter(
    "penstock_unpriced_requests_total",
    "Settled requests that an engine answered, and of whose cost a part at least is unknown; the rest is in the cost.",
    *("model", "engine", "arm"),
)

FAMILIES = (TOKENS, COST, UNPRICED)


def lines(all_series: list[Series], _pids: tuple[int, ...]) -> Iterator[str]:
    """Only of series with an engine: without one nothing can be used."""
    yield head(TOKENS)
    for series in all_series:
        if series.engine:
            arm, engine, model = pairs(series)
            before = f'{TOKENS.name}{{{arm},{engine},kind="'
            yield (
                f'{before}input",{model}}} {series.input_tokens}\n'
                f'{before}cached",{model}}} {series.cached_tokens}\n'
                f'{before}output",{model}}} {series.output_tokens}\n'
                f'{before}reasoning",{model}}} {series.reasoning_tokens}\n'
            )
    yield head(COST)
    for series in all_series:
        if series.engine:
            yield f"{COST.name}{{{','.join(pairs(series))}}} {number(series.cost_usd)}\n"
    yield head(UNPRICED)
    for series in all_series:
        if series.engine:
            yield f"{UNPRICED.name}{{{','.join(pairs(series))}}} {series.unpriced}\n"
