"""What a person looks at first: is it well, and for whom is it not."""

from __future__ import annotations

from helm.tools.dashboards.page import Page, Panel, quantiles

PAGE = Page(
    "overview",
    "Overview",
    "Requests, failures, latency and saturation of every model.",
    (
        (
            "Requests",
            (
                Panel(
                    "Requests by status",
                    "reqps",
                    (("sum by (code) (rate(penstock_requests_total{$S,$M}$R))", "{{code}}"),),
                    "499: the client left before an answer.",
                ),
                Panel(
                    "Errors by kind",
                    "reqps",
                    (
                        (
                            "sum by (model, kind) (rate(penstock_errors_total{$S,$M}$R))",
                            "{{model}} {{kind}}",
                        ),
                    ),
                    "The access line of each failed request names the same kind.",
                ),
                Panel(
                    "Requests with an engine",
                    "short",
                    (("sum by (model) (penstock_in_flight{$S,$M})", "{{model}}"),),
                ),
            ),
        ),
        (
            "Latency",
            (
                Panel(
                    "Time to first token",
                    "s",
                    quantiles("penstock_time_to_first_token_seconds", "model", "$M", "{{model}}"),
                ),
                Panel(
                    "Time per output token",
                    "s",
                    quantiles("penstock_time_per_output_token_seconds", "model", "$M", "{{model}}"),
                ),
                Panel(
                    "The gateway's own share", "s", quantiles("penstock_overhead_seconds", "model", "$M", "{{model}}")
                ),
            ),
        ),
        (
            "Saturation",
            (
                Panel(
                    "Tokens that wait for room",
                    "short",
                    (("sum by (model) (penstock_queue_tokens{$S,$M})", "{{model}}"),),
                ),
                Panel("How long requests waited", "s", quantiles("penstock_queue_seconds", "model", "$M", "{{model}}")),
                Panel(
                    "Refused for want of room",
                    "reqps",
                    (
                        (
                            "sum by (model, reason) (rate(penstock_shed_total{$S,$M}$R))",
                            "{{model}} {{reason}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "The gateway",
            (
                Panel(
                    "CPU of gateways",
                    "short",
                    (("sum by (pod) (rate(process_cpu_seconds_total{$S}$R))", "{{pod}}"),),
                    "Cores.",
                ),
                Panel(
                    "Memory of gateways", "bytes", (("max by (pod) (process_resident_memory_bytes{$S})", "{{pod}}"),)
                ),
                Panel(
                    "Since loops succeeded",
                    "s",
                    (("max by (loop) (penstock_loop_last_success_age_seconds{$S})", "{{loop}}"),),
                ),
            ),
        ),
        (
            "What must not happen",
            (
                Panel(
                    "Records and lines dropped",
                    "short",
                    (("sum by (sink) (increase(penstock_records_dropped_total{$S}$R))", "{{sink}}"),),
                ),
                Panel(
                    "Retries and fallbacks",
                    "reqps",
                    (
                        (
                            "sum by (engine, reason) (rate(penstock_retries_total{$S}$R))",
                            "{{engine}} {{reason}}",
                        ),
                        (
                            "sum by (from, to) (rate(penstock_fallbacks_total{$S,$M}$R))",
                            "{{from}} to {{to}}",
                        ),
                    ),
                ),
                Panel(
                    "Reloads of the configuration",
                    "short",
                    (
                        (
                            "sum by (result) (increase(penstock_config_reloads_total{$S}$R))",
                            "{{result}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
