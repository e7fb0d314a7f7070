"""What is known of drift, as the document that the admin API, the gauges and the report page are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from gateway.store.drift.judged import Judged, Watched
from gateway.store.drift.rows import Key
from routing.drift.watch import REFERENCE_HOURS, Alarm, DriftStanding

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAY_HOURS: Final = 24


def document(judged: Judged) -> bytes:
    """JSON."""
    data = [_entry(key, one, judged.last_hour) for key, one in sorted(judged.watched.items())]
    through = time_of(judged.last_hour + 1) if judged.last_hour else None
    return msgspec.json.encode({"object": "drift.report", "through": through, "data": data})


def time_of(hour: int) -> str:
    """The begin of a Unix hour."""
    return (_EPOCH + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:00Z")


def _entry(key: Key, one: Watched, last: int) -> dict[str, Any]:
    model, arm, route = key
    standings = one.watch.standing.values() if one.watch is not None else ()
    return {
        "model": model,
        "arm": arm,
        "route": route,
        "reference": {"why": one.chosen, "since": time_of(one.begin - REFERENCE_HOURS), "until": time_of(one.begin)}
        | {"against_control": one.watch is not None and one.watch.against_control},
        "signals": [_signal(standing, last) for standing in standings],
        "alarms": [_alarm(alarm) for alarm in reversed(one.alarms)],
    }


def _signal(standing: DriftStanding, last: int) -> dict[str, Any]:
    alarmed = standing.alarmed_hour
    return {
        "signal": standing.signal,
        "state": "not enough data" if standing.why else "drift" if _lately(alarmed, last) else "steady",
        "why": standing.why,
        "value": standing.value,
        "reference": standing.reference,
        "current": standing.current,
        "shift_sd": standing.shift_sd,
        "evidence": standing.evidence,
        "alarmed": None if alarmed is None else time_of(alarmed),
        "history": [[at, value] for at, value in standing.history],
    }


def _lately(alarmed: int | None, last: int) -> bool:
    return alarmed is not None and alarmed > last - DAY_HOURS


def _alarm(alarm: Alarm) -> dict[str, Any]:
    causes = [one.sentence for one in alarm.causes]
    return {"time": time_of(alarm.hour), "signal": alarm.signal, "sentence": alarm.sentence, "causes": causes}
