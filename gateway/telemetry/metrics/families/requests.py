"""Requests: how many, how they ended, how many are with an engine now."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.telemetry.metrics.family import add, counter, gauge
from gateway.telemetry.metrics.series import Series
from gateway.telemetry.metrics.text import head, pair, pairs

REQUESTS = counter(
    "penstock_requests_total",
    "Requests settled, by the status the client was told (499: it left before an answer, or we cut it off at our end).",
    *("model", "engine", "arm", "code"),
)
ERRORS = counter(
    "penstock_errors_total",
    "Requests that failed, by the kind of failure; the access line names the same kind.",
    *("model", "engine", "kind"),
)
IN_FLIGHT = gauge("penstock_in_flight", "Requests now with an engine.", "model", "engine", combine=add)

FAMILIES = (REQUESTS, ERRORS, IN_FLIGHT)


def lines(all_series: list[Series], _pids: tuple[int, ...]) -> Iterator[str]:
    """Errors and requests in flight are summed over arms."""
    errors: dict[tuple[str, str, str], int] = {}
    in_flight: dict[tuple[str, str], int] = {}
    yield head(REQUESTS)
    for series in all_series:
        arm, engine, model = pairs(series)
        for code, count in sorted(series.codes.items()):
            # A 200 can only come from an engine; without one its zero would be noise.
            if count or series.engine:
                yield f'{REQUESTS.name}{{{arm},code="{code}",{engine},{model}}} {count}\n'
        for kind, count in series.errors.items():
            key = series.model, series.engine, kind
            errors[key] = errors.get(key, 0) + count
        if series.engine:
            both = series.model, series.engine
            in_flight[both] = in_flight.get(both, 0) + series.in_flight
    yield head(ERRORS)
    for (model, engine, kind), count in sorted(errors.items()):
        yield f"{ERRORS.name}{{{pair('engine', engine)},{pair('kind', kind)},{pair('model', model)}}} {count}\n"
    yield head(IN_FLIGHT)
    for (model, engine), count in sorted(in_flight.items()):
        yield f"{IN_FLIGHT.name}{{{pair('engine', engine)},{pair('model', model)}}} {count}\n"
