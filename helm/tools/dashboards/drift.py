"""Whether what models are asked, and what they answer, is what it was."""

from __future__ import annotations

from helm.tools.dashboards.page import Page, Panel


def ratio(kind: str) -> str:
    tokens = f'sum by (model) (rate(penstock_tokens_total{{$S,$M,kind="{kind}"}}$R))'
    return f"{tokens} / sum by (model) (rate(penstock_requests_total{{$S,$M}}$R))"


PAGE = Page(
    "drift",
    "Drift",
    "Drift signals of every model, next to the plain figures that move with them.",
    (
        (
            "Signals",
            (
                Panel(
                    "Drift by signal",
                    "short",
                    (("max by (model, arm, signal) (penstock_drift{$S,$M})", "{{model}} {{arm}} {{signal}}"),),
                    "1 where a signal has drifted within the last day.",
                ),
                Panel(
                    "How far the last hour was off",
                    "short",
                    (
                        (
                            "max by (model, arm, signal) (penstock_drift_distance{$S,$M})",
                            "{{model}} {{arm}} {{signal}}",
                        ),
                    ),
                    "PSI of an amount; of a rate, the evidence that it changed, of which 1 alarms.",
                ),
            ),
        ),
        (
            "What moves with them",
            (
                Panel("Prompt tokens per request", "short", ((ratio("input"), "{{model}}"),)),
                Panel("Output tokens per request", "short", ((ratio("output"), "{{model}}"),)),
                Panel("Reasoning tokens per request", "short", ((ratio("reasoning"), "{{model}}"),)),
            ),
        ),
    ),
)
