"""What an engine says of its own load: in its metrics, and in a header of its answers.

I want to ... follow a renamed metric / edit: `metrics.NAMES` / test: tests/engines/loads.
"""

from engines.loads.header import ASK, HEADER, read_header
from engines.loads.load import EngineLoad
from engines.loads.metrics import MetricsReader, read_metrics

__all__ = ["ASK", "HEADER", "EngineLoad", "MetricsReader", "read_header", "read_metrics"]
