"""What it costs, who spends it, and how much of a GPU nobody pays for."""

from __future__ import annotations

from helm.tools.dashboards.page import Page, Panel

PAGE = Page(
    "cost",
    "Cost",
    "US dollars by model, engine and tenant; GPUs busy and idle; requests whose price nobody knows.",
    (
        (
            "Requests",
            (
                Panel(
                    "Dollars per hour by model",
                    "currencyUSD",
                    (
                        (
                            "3600 * sum by (model) (rate(penstock_cost_usd_total{$S,$M}$R))",
                            "{{model}}",
                        ),
                    ),
                ),
                Panel(
                    "Dollars per hour by engine",
                    "currencyUSD",
                    (
                        (
                            "3600 * sum by (engine) (rate(penstock_cost_usd_total{$S,$M}$R))",
                            "{{engine}}",
                        ),
                    ),
                ),
                Panel(
                    "Requests without a price",
                    "reqps",
                    (
                        (
                            "sum by (model, engine) (rate(penstock_unpriced_requests_total{$S,$M}$R))",
                            "{{model}} {{engine}}",
                        ),
                    ),
                    "Their cost is unknown and in no sum.",
                ),
            ),
        ),
        (
            "GPUs",
            (
                Panel(
                    "Dollars per hour, busy and idle",
                    "currencyUSD",
                    (
                        (
                            "3600 * sum by (engine, state) (rate(penstock_gpu_cost_usd_total{$S}$R))",
                            "{{engine}} {{state}}",
                        ),
                    ),
                ),
                Panel(
                    "Idle part",
                    "percentunit",
                    (
                        (
                            'sum by (engine) (rate(penstock_gpu_cost_usd_total{$S,state="idle"}$R))'
                            " / sum by (engine) (rate(penstock_gpu_cost_usd_total{$S}$R))",
                            "{{engine}}",
                        ),
                    ),
                ),
                Panel(
                    "A million tokens, idle time included",
                    "currencyUSD",
                    (
                        (
                            "1e6 * sum by (engine) (rate(penstock_gpu_cost_usd_total{$S}$R))"
                            ' / sum by (engine) (rate(penstock_tokens_total{$S,kind=~"input|output"}$R))',
                            "{{engine}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Who spends it",
            (
                Panel(
                    "Since midnight (UTC) by tenant",
                    "currencyUSD",
                    (
                        (
                            'sum by (tenant) (max by (tenant, key, pod) (penstock_spent_usd{$S,period="day"}))',
                            "{{tenant}}",
                        ),
                    ),
                ),
                Panel(
                    "Since the first of the month by key",
                    "currencyUSD",
                    (('sum by (key) (max by (key, pod) (penstock_spent_usd{$S,period="month"}))', "{{key}}"),),
                ),
            ),
        ),
    ),
)
