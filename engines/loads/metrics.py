"""Reads the few figures we want out of a page of Prometheus metrics, whatever else is on it.

A page has thousands of lines, histograms mostly. Only the lines that begin with one of `NAMES` are looked at; they are
found by a search for the name, slice by slice, so that whoever shares the loop waits for one slice at most. Nothing
here raises: a sample that makes no sense is no sample.

Several engines behind one address (data parallel ranks have a label `engine`) are one replica: counts are sums, the
usage is a mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from engines.loads.load import EngineLoad

NAMES: Final[dict[str, tuple[bytes, ...]]] = {
    "running": (b"vllm:num_requests_running{",),
    "waiting": (b"vllm:num_requests_waiting{",),
    "kv_usage": (b"vllm:kv_cache_usage_perc{", b"vllm:gpu_cache_usage_perc{"),
    "config": (b"vllm:cache_config_info{",),
    "queries": (
        b"vllm:prefix_cache_queries_total{",
        b"vllm:prefix_cache_queries{",
        b"vllm:gpu_prefix_cache_queries_total{",
        b"vllm:gpu_prefix_cache_queries{",
    ),
    "hits": (
        b"vllm:prefix_cache_hits_total{",
        b"vllm:prefix_cache_hits{",
        b"vllm:gpu_prefix_cache_hits_total{",
        b"vllm:gpu_prefix_cache_hits{",
    ),
    "adapters": (b"vllm:lora_requests_info{",),
}
"""What we want -> what it is and was called, newest first. The first name with a sample counts, the others do not."""

SLICE_BYTES: Final = 128 * 1024
MOST_SAMPLES: Final = 256
"""Of one name. A replica has one for each engine, which are few."""
MOST_LINE_BYTES: Final = 8192
"""`cache_config_info` has some 1,500."""
_MOST: Final = 1e15

# The search is for what follows the colon: `bytes.find` is five times as fast without the letters of `vllm:`.
_NEEDLES: Final = tuple((name, name.rpartition(b":")[2]) for names in NAMES.values() for name in names)
_CONFIG: Final = NAMES["config"][0]
_ADAPTERS: Final = NAMES["adapters"][0]
_ADAPTER_NAMES: Final = re.compile(rb'[{,](?:running|waiting)_lora_adapters="([^"]{0,4096})"')
_BLOCK_SIZE: Final = re.compile(rb'[{,]block_size="(\d{1,9})"')
_NUM_BLOCKS: Final = re.compile(rb'[{,]num_gpu_blocks="(\d{1,9})"')


class MetricsReader:
    """Reads one page in steps."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._samples: dict[bytes, list[float]] = {}
        self._cache_tokens = 0
        self._block_size: int | None = None
        self._adapters: tuple[str, ...] = ()
        self._adapters_at_s = 0.0

    def steps(self) -> Iterator[None]:
        """Read all slices, yielding between each two."""
        while self._step():
            yield

    def _step(self) -> bool:
        """Read one more slice; returns whether there is another."""
        text, begin = self._text, self._at
        end = begin + SLICE_BYTES
        if end < len(text):
            end = text.rfind(b"\n", begin, end) + 1 or text.find(b"\n", end) + 1 or len(text)
        else:
            end = len(text)
        for name, needle in _NEEDLES:
            self._look_for(name, needle, begin, end)
        self._at = end
        return end < len(text)

    def _look_for(self, name: bytes, needle: bytes, begin: int, end: int) -> None:
        text = self._text
        for _ in range(MOST_SAMPLES):
            at = text.find(needle, begin, end)
            if at < 0:
                return
            start = at + len(needle) - len(name)
            begin = at + len(needle)
            if start < 0 or not text.startswith(name, start) or (start and text[start - 1] != 10):
                continue
            stop = text.find(b"\n", begin, min(end, begin + MOST_LINE_BYTES))
            if stop < 0:
                if end - begin > MOST_LINE_BYTES:
                    continue
                stop = end
            self._take(name, text[begin - 1 : stop])
            begin = stop

    def _take(self, name: bytes, line: bytes) -> None:
        """`line` is what follows the name, the brace included."""
        if name == _CONFIG:
            size, blocks = _BLOCK_SIZE.search(line), _NUM_BLOCKS.search(line)
            if size is not None:
                self._block_size = int(size[1]) or None
                if blocks is not None:
                    self._cache_tokens += int(size[1]) * int(blocks[1])
            return
        value = line.rpartition(b"} ")[2].split(b" ", 1)[0]
        try:
            number = float(value)
        except ValueError:
            return
        if name == _ADAPTERS:  # a sample for each set of adapters that there ever was; its value is when
            if number >= self._adapters_at_s:
                self._adapters_at_s = number
                listed = b",".join(_ADAPTER_NAMES.findall(line)).decode(errors="replace").split(",")
                self._adapters = tuple(sorted({adapter for one in listed if (adapter := one.strip())}))
            return
        samples = self._samples.setdefault(name, [])
        if 0.0 <= number <= _MOST and len(samples) < MOST_SAMPLES:
            samples.append(number)

    @property
    def load(self) -> EngineLoad:
        """What the steps so far have found."""
        usage = [number for number in self._of("kv_usage") if number <= 1.0]
        return EngineLoad(
            running=self._sum("running"),
            waiting=self._sum("waiting"),
            kv_usage=sum(usage) / len(usage) if usage else None,
            cache_tokens=self._cache_tokens or None,
            block_size=self._block_size,
            prefix_queries_tokens=self._sum("queries"),
            prefix_hits_tokens=self._sum("hits"),
            adapters=self._adapters,
        )

    def _of(self, what: str) -> list[float]:
        return next((found for name in NAMES[what] if (found := self._samples.get(name))), [])

    def _sum(self, what: str) -> int | None:
        found = self._of(what)
        return int(sum(found)) if found else None


def read_metrics(text: bytes) -> EngineLoad:
    """The load that a whole page tells. Never raises."""
    reader = MetricsReader(text)
    for _ in reader.steps():
        pass
    return reader.load
