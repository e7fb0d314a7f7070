"""Two arms side by side, and what the gate makes of them."""

from __future__ import annotations

from helm.tools.dashboards.page import Page, Panel, quantiles

REQUESTS = "sum by (model, arm) (rate(penstock_requests_total{$S,$M}$R))"
FAILED = 'sum by (model, arm) (rate(penstock_requests_total{$S,$M,code=~"5.."}$R))'
OUTPUT = 'sum by (model, arm) (rate(penstock_tokens_total{$S,$M,kind="output"}$R))'
COST = "sum by (model, arm) (rate(penstock_cost_usd_total{$S,$M}$R))"

PAGE = Page(
    "arms",
    "Arms",
    "The arms of every experiment side by side, with their weights and the gate's evidence.",
    (
        (
            "The gate",
            (
                Panel(
                    "Weights",
                    "percentunit",
                    (("max by (model, experiment, arm) (penstock_experiment_weight{$S,$X})", "{{model}} {{arm}}"),),
                    "The part of the units that each arm has.",
                ),
                Panel(
                    "Evidence",
                    "short",
                    (
                        (
                            "max by (model, experiment, metric, test) (penstock_experiment_evidence{$S,$X})",
                            "{{model}} {{metric}} {{test}}",
                        ),
                    ),
                    "As a part of what is enough: at 1 the test (rollback, promote, ceiling) decides.",
                ),
                Panel(
                    "Requests counted for arms",
                    "reqps",
                    (
                        (
                            "sum by (model, experiment, arm) (rate(penstock_experiment_requests_total{$S,$X}$R))",
                            "{{model}} {{arm}}",
                        ),
                        (
                            "sum by (model, experiment) (rate(penstock_experiment_exposure_lost_total{$S,$X}$R))",
                            "{{model}} without a unit",
                        ),
                    ),
                    "Those that name no unit are served as the control is, and not counted.",
                ),
            ),
        ),
        (
            "What clients see",
            (
                Panel("Requests", "reqps", ((REQUESTS, "{{model}} {{arm}}"),)),
                Panel(
                    "Part that failed",
                    "percentunit",
                    (
                        (
                            f"{FAILED} / {REQUESTS}",
                            "{{model}} {{arm}}",
                        ),
                    ),
                ),
                Panel(
                    "Events that the gate counts",
                    "short",
                    (
                        (
                            "sum by (model, arm, metric) (rate(penstock_experiment_events_total{$S,$X}$R))",
                            "{{model}} {{arm}} {{metric}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Latency",
            (
                Panel(
                    "Time to first token",
                    "s",
                    quantiles("penstock_time_to_first_token_seconds", "model, arm", "$M", "{{model}} {{arm}}"),
                ),
                Panel(
                    "Time per output token",
                    "s",
                    quantiles("penstock_time_per_output_token_seconds", "model, arm", "$M", "{{model}} {{arm}}"),
                ),
                Panel(
                    "Whole requests",
                    "s",
                    quantiles("penstock_request_duration_seconds", "model, arm", "$M", "{{model}} {{arm}}"),
                ),
            ),
        ),
        (
            "Tokens and dollars",
            (
                Panel(
                    "Output tokens per request",
                    "short",
                    (
                        (
                            f"{OUTPUT} / {REQUESTS}",
                            "{{model}} {{arm}}",
                        ),
                    ),
                ),
                Panel(
                    "Cost per 1,000 requests",
                    "currencyUSD",
                    (
                        (
                            f"1000 * {COST} / {REQUESTS}",
                            "{{model}} {{arm}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Shadows",
            (
                Panel(
                    "Copies by result",
                    "reqps",
                    (
                        (
                            "sum by (model, result) (rate(penstock_shadow_requests_total{$S,$M}$R))",
                            "{{model}} {{result}}",
                        ),
                    ),
                    "given_up: a client's request would have waited for it, or the gateway ended.",
                ),
                Panel(
                    "Copies that were not made",
                    "reqps",
                    (
                        (
                            "sum by (model, reason) (rate(penstock_shadow_dropped_total{$S,$M}$R))",
                            "{{model}} {{reason}}",
                        ),
                    ),
                ),
                Panel(
                    "Copies in flight",
                    "short",
                    (("sum by (model) (penstock_shadow_in_flight{$S,$M})", "{{model}}"),),
                ),
                Panel(
                    "What copies cost in an hour",
                    "currencyUSD",
                    (("sum by (model) (increase(penstock_shadow_cost_usd_total{$S,$M}[1h]))", "{{model}}"),),
                    "No part of what clients cost.",
                ),
            ),
        ),
    ),
    (("model", "penstock_requests_total", "model"), ("experiment", "penstock_experiment_weight", "experiment")),
)
