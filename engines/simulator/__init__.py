"""A vLLM look-alike without a model: vLLM's endpoints, metrics and headers in front of a simulated engine.

I want to ...                     look at
start one                         `python -m engines.simulator --help`, `settings.py`
simulate in virtual time          `core.py`: submit, next_event_time, advance, cancel
add or change a wire format       `formats/`
break an answer in a new way      `failures.py`, `delivery.py`
"""

from engines.simulator.failures import FailureKind
from engines.simulator.settings import SimulatorSettings, command

__all__ = ["FailureKind", "SimulatorSettings", "command"]
