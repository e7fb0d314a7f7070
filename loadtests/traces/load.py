"""Which format a file is in, told by its first line, and the trace in it."""

from __future__ import annotations

from pathlib import Path

from loadtests.traces import azure, burstgpt, mooncake
from loadtests.traces.trace import BLOCK_TOKENS, MAX_LINE_CHARS, Rows, Trace


def load_trace(path: str | Path, block_tokens: int = BLOCK_TOKENS) -> Trace:
    """Read an Azure LLM (csv), BurstGPT (csv) or Mooncake (jsonl) trace.

    `block_tokens` is what one Mooncake hash id stands for. Raises TraceError, and OSError when there is no such file.
    """
    with Path(path).open(encoding="utf-8", errors="replace", newline="") as file:
        first = file.readline(MAX_LINE_CHARS).removeprefix("\ufeff").strip()
        file.seek(0)
        columns = {column.strip() for column in first.split(",")}
        if first.startswith("{"):
            return mooncake.read(file, Rows(str(path), "mooncake"), block_tokens)
        if columns >= azure.COLUMNS:
            return azure.read(file, Rows(str(path), "azure"))
        if columns >= burstgpt.COLUMNS:
            return burstgpt.read(file, Rows(str(path), "burstgpt"))
    raise Rows(str(path), "").refuse(
        1,
        "the first line is of no trace format known here",
        f"a header with {', '.join(sorted(azure.COLUMNS))} (Azure) or "
        f"{', '.join(sorted(burstgpt.COLUMNS))} (BurstGPT), or a JSON object (Mooncake)",
    )
