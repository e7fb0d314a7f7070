"""What is wanted, what is there, and the signals between."""

from __future__ import annotations

from helm.tools.dashboards.page import Page, Panel, quantiles

PAGE = Page(
    "autoscaling",
    "Autoscaling",
    "Replicas wanted and there, next to the load that asks for them.",
    (
        (
            "Replicas",
            (
                Panel(
                    "Wanted and ready",
                    "short",
                    (
                        ("max by (engine) (penstock_replicas_wanted{$S,$E})", "{{engine}} wanted"),
                        ('max by (engine) (penstock_replicas{$S,$E,state="ready"})', "{{engine}} ready"),
                    ),
                ),
                Panel(
                    "Leaving, asleep and unhealthy",
                    "short",
                    (('max by (engine, state) (penstock_replicas{$S,$E,state!="ready"})', "{{engine}} {{state}}"),),
                ),
                Panel(
                    "Replicas that fell asleep and woke, or did not",
                    "short",
                    (
                        (
                            "sum by (engine, result) (increase(penstock_replica_sleeps_total{$S,$E}$R))",
                            "{{engine}} {{result}}",
                        ),
                    ),
                ),
                Panel(
                    "Dollars per hour of what is there",
                    "currencyUSD",
                    (
                        (
                            "3600 * sum by (engine) (rate(penstock_gpu_cost_usd_total{$S,$E}$R))",
                            "{{engine}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "What asks for them",
            (
                Panel("Tokens that wait", "short", (("sum by (model) (penstock_queue_tokens{$S})", "{{model}}"),)),
                Panel(
                    "Requests with engines",
                    "short",
                    (("sum by (engine) (penstock_in_flight{$S,$E})", "{{engine}}"),),
                ),
                Panel(
                    "KV cache in use, mean",
                    "percentunit",
                    (
                        (
                            "avg by (engine) (max by (engine, replica) (penstock_engine_kv_usage_ratio{$S,$E}))",
                            "{{engine}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Whether it was enough",
            (
                Panel(
                    "Time to first token",
                    "s",
                    quantiles("penstock_time_to_first_token_seconds", "engine", "$E", "{{engine}}"),
                ),
                Panel(
                    "How long requests waited",
                    "s",
                    quantiles("penstock_queue_seconds", "engine", "$E", "{{engine}}"),
                ),
                Panel(
                    "Refused for want of room",
                    "reqps",
                    (
                        (
                            "sum by (model, reason) (rate(penstock_shed_total{$S}$R))",
                            "{{model}} {{reason}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
    (("engine", "penstock_replicas", "engine"),),
)
