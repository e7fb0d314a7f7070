"""Replicas: which are there, how full they are, and what their caches are worth."""

from __future__ import annotations

from helm.tools.dashboards.page import Page, Panel

PAGE = Page(
    "engines",
    "Engines",
    "Replicas of every engine, as gateways see them and as vLLM tells of itself.",
    (
        (
            "Replicas",
            (
                Panel(
                    "Replicas by state",
                    "short",
                    (("max by (engine, state) (penstock_replicas{$S,$E})", "{{engine}} {{state}}"),),
                ),
                Panel(
                    "Open breakers",
                    "short",
                    (("max by (engine, replica) (penstock_breaker_open{$S,$E}) > 0", "{{engine}} {{replica}}"),),
                ),
                Panel(
                    "Standing aside",
                    "short",
                    (("max by (engine, replica) (penstock_replica_ejected{$S,$E}) > 0", "{{engine}} {{replica}}"),),
                    "Replicas that do worse than their peers.",
                ),
            ),
        ),
        (
            "Load",
            (
                Panel(
                    "Requests with engines",
                    "short",
                    (("sum by (engine) (penstock_in_flight{$S,$E})", "{{engine}}"),),
                ),
                Panel(
                    "Requests that wait in engines",
                    "short",
                    (("max by (engine, replica) (penstock_engine_waiting{$S,$E})", "{{engine}} {{replica}}"),),
                ),
                Panel(
                    "KV cache in use",
                    "percentunit",
                    (
                        (
                            "max by (engine, replica) (penstock_engine_kv_usage_ratio{$S,$E})",
                            "{{engine}} {{replica}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Tokens and caches",
            (
                Panel(
                    "Tokens",
                    "short",
                    (
                        (
                            "sum by (engine, kind) (rate(penstock_tokens_total{$S,$E}$R))",
                            "{{engine}} {{kind}}",
                        ),
                    ),
                    "Per second, of settled requests.",
                ),
                Panel(
                    "Prompt tokens found in prefix caches",
                    "percentunit",
                    (("max by (engine, replica) (penstock_prefix_hit_ratio{$S,$E})", "{{engine}} {{replica}}"),),
                ),
                Panel(
                    "How wrong predictions of it were",
                    "percentunit",
                    (
                        (
                            "max by (engine, replica) (penstock_prefix_predicted_error_ratio{$S,$E})",
                            "{{engine}} {{replica}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "vLLM of itself",
            (
                Panel(
                    "Running and waiting",
                    "short",
                    (
                        ('sum by (pod) (vllm:num_requests_running{namespace=~"$namespace"})', "{{pod}} running"),
                        ('sum by (pod) (vllm:num_requests_waiting{namespace=~"$namespace"})', "{{pod}} waiting"),
                    ),
                    "Needs the PodMonitor.",
                ),
                Panel(
                    "Preemptions",
                    "short",
                    (
                        (
                            'sum by (pod) (rate(vllm:num_preemptions_total{namespace=~"$namespace"}$R))',
                            "{{pod}}",
                        ),
                    ),
                ),
                Panel(
                    "Prefix cache hits",
                    "percentunit",
                    (
                        (
                            'sum by (pod) (rate(vllm:prefix_cache_hits_total{namespace=~"$namespace"}$R))'
                            ' / sum by (pod) (rate(vllm:prefix_cache_queries_total{namespace=~"$namespace"}$R))',
                            "{{pod}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
    (("engine", "penstock_replicas", "engine"),),
)
