"""The metrics of vLLM 0.33 that a dashboard may show, with their labels; its own are in vllm/v1/metrics/loggers.py."""

from __future__ import annotations

_GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
_COUNTERS = (
    "prefix_cache_queries",
    "prefix_cache_hits",
    "num_preemptions",
    "prompt_tokens",
    "generation_tokens",
    "request_success",
)
_HISTOGRAMS = ("time_to_first_token_seconds", "inter_token_latency_seconds", "request_queue_time_seconds")

METRICS = frozenset(
    [f"vllm:{name}" for name in _GAUGES]
    + [f"vllm:{name}_total" for name in _COUNTERS]
    + [f"vllm:{name}_{part}" for name in _HISTOGRAMS for part in ("bucket", "count", "sum")]
)
LABELS = frozenset({"model_name", "engine", "finished_reason", "le"})
