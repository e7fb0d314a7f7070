"""vLLM's Prometheus metrics under vLLM's exact names, from plain numbers that are formatted only when scraped.

An observation is one bisect and two additions (about 0.3 us); prometheus-client's own `observe` costs more than the
rest of what a streamed token costs here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engines.simulator.core import SimulatorCore

# Buckets of vllm/v1/metrics/loggers.py.
_TTFT_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0),
    *(80.0, 160.0, 640.0, 2560.0),
)
_ITL_S = (*(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),)
_REQUEST_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0),
    *(1920.0, 7680.0),
)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


class Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def family(self, name: str, note: str, labels: dict[str, str]) -> HistogramMetricFamily:
        total, buckets = 0, []
        names = (*(str(float(bound)) for bound in self._bounds), "+Inf")
        for name_of_bound, count in zip(names, self._counts, strict=True):
            total += count
            buckets.append((name_of_bound, total))
        family = HistogramMetricFamily(name, note, labels=list(labels))
        family.add_metric(list(labels.values()), buckets, self._sum)
        return family


class SimulatorMetrics(Collector):
    """The counters of one server; gauges are read from the core when scraped."""

    def __init__(self, core: SimulatorCore) -> None:
        self._core = core
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generation_tokens = 0
        self.rejected = 0
        self.sleep_level = 0
        """0 is awake."""
        self.finished = {"stop": 0, "length": 0, "abort": 0, "error": 0, "repetition": 0}
        self.ttft = Histogram(_TTFT_S)
        self.itl = Histogram(_ITL_S)
        self.time_per_output_token = Histogram(_ITL_S)
        self.e2e = Histogram(_REQUEST_S)
        self.queue = Histogram(_REQUEST_S)
        self.request_prompt_tokens = Histogram(_TOKENS)
        self.request_generation_tokens = Histogram(_TOKENS)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def render(self) -> bytes:
        """The text exposition."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        core = self._core
        labels = {"model_name": core.settings.models[0], "engine": "0"}
        for name, note, gauge in (
            ("num_requests_running", "Requests in model execution.", core.running),
            ("num_requests_waiting", "Requests waiting to be processed.", core.waiting),
            ("kv_cache_usage_perc", "KV-cache usage; 1 means 100 percent.", core.cache.usage_ratio),
        ):
            family = GaugeMetricFamily(f"vllm:{name}", note, labels=list(labels))
            family.add_metric(list(labels.values()), gauge)
            yield family
        by_reason = GaugeMetricFamily(
            "vllm:num_requests_waiting_by_reason", "Waiting requests by reason.", labels=[*labels, "reason"]
        )
        for reason, count in (("capacity", core.waiting), ("deferred", 0)):
            by_reason.add_metric([*labels.values(), reason], count)
        yield by_reason
        slept = GaugeMetricFamily("vllm:engine_sleep_state", "Engine sleep state.", labels=[*labels, "sleep_state"])
        for level, state in enumerate(("awake", "weights_offloaded", "discard_all")):
            slept.add_metric([*labels.values(), state], float(level == self.sleep_level))
        yield slept
        config = {
            "block_size": str(core.settings.block_size),
            "num_gpu_blocks": str(core.settings.kv_cache_blocks),
            "enable_prefix_caching": str(core.settings.prefix_caching),
        }
        info = GaugeMetricFamily(
            "vllm:cache_config_info", "Information of the LLMEngine CacheConfig.", labels=[*config, "engine"]
        )
        info.add_metric([*config.values(), "0"], 1)
        yield info
        for name, note, total in (
            ("prefix_cache_queries", "Prefix cache queries, in tokens.", core.prefix_queries_tokens),
            ("prefix_cache_hits", "Prefix cache hits, in tokens.", core.prefix_hits_tokens),
            ("prompt_tokens", "Prefill tokens processed.", self.prompt_tokens),
            ("prompt_tokens_cached", "Prompt tokens taken from the cache.", self.cached_tokens),
            ("generation_tokens", "Generation tokens processed.", self.generation_tokens),
            ("num_preemptions", "Preemptions; the simulator has none.", 0),
        ):
            counter = CounterMetricFamily(f"vllm:{name}", note, labels=list(labels))
            counter.add_metric(list(labels.values()), total)
            yield counter
        success = CounterMetricFamily("vllm:request_success", "Requests finished.", labels=[*labels, "finished_reason"])
        for reason, count in self.finished.items():
            success.add_metric([*labels.values(), reason], count)
        yield success
        refused = CounterMetricFamily(
            "vllm:admission_rejections", "Requests refused at admission.", labels=[*labels, "reason"]
        )
        refused.add_metric([*labels.values(), "max_num_queued_reqs"], self.rejected)
        yield refused
        for name, note, histogram in (
            ("time_to_first_token_seconds", "Time to first token.", self.ttft),
            ("inter_token_latency_seconds", "Time between tokens.", self.itl),
            ("request_time_per_output_token_seconds", "Mean time per output token.", self.time_per_output_token),
            ("e2e_request_latency_seconds", "End to end request latency.", self.e2e),
            ("request_queue_time_seconds", "Time spent waiting.", self.queue),
            ("request_prompt_tokens", "Prefill tokens of a request.", self.request_prompt_tokens),
            ("request_generation_tokens", "Generated tokens of a request.", self.request_generation_tokens),
        ):
            yield histogram.family(f"vllm:{name}", note, labels)
