"""How long each start of a launched replica took, as the gateway's log tells: from `starting` to `ready`. Pure."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable

Now = Callable[[], float]


class Starts:
    """Fed with lines of the log, from a thread; asked from another. Times are those at which lines were read."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._began_s: dict[tuple[str, str], float] = {}
        self._took_s: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """By engine, when each start was over and how long it took."""
        self.failed = 0
        """Starts that were not ready before they ended."""

    def line(self, line: bytes) -> None:
        """One line of the log; any other is fine."""
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict) or said.get("event") != "launched_replica":
            return
        key = str(said.get("engine")), str(said.get("replica"))
        now = self._now()
        with self._lock:
            match said.get("state"):
                case "starting":
                    self._began_s[key] = now
                case "ready" if key in self._began_s:
                    self._took_s[key[0]].append((now, now - self._began_s.pop(key)))
                case "backoff":
                    self.failed += 1
                    self._began_s.pop(key, None)

    def first_since(self, engine: str, since_s: float) -> float | None:
        """How long the first start took that was over since then; None where none was."""
        with self._lock:
            return next((took for over_s, took in self._took_s[engine] if over_s >= since_s), None)
