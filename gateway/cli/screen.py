"""The first screen of `penstock serve`: what serves which model and how it was found, then how to ask it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from gateway.http.listen import reached_at
from gateway.settings.sections.admin import place_of
from gateway.telemetry.terminal import BOLD, CYAN, DIM, GREEN, RED, YELLOW, painted, printable
from gateway.wildcard_names import name_to_show

if TYPE_CHECKING:
    from gateway.control.configuration.findings import Finding
    from gateway.serve import Opened
    from gateway.settings import Settings

MOST_ROWS: Final = 40
"""More scroll the first ones away."""
MOST_LETTERS: Final = 48
MOST_REASON: Final = 160
RISING: Final = ("starting", "backoff")
"""States of a launched replica that takes no requests yet."""
HEAD: Final = ("MODEL", "ENGINE", "REPLICA", "")
Row = tuple[str, str, str, str, str]
"""Model, engine, replica, state and why."""


def screen(opening: Opened, version: str, *, colours: bool) -> str:
    """All of it."""

    def paint(text: str, colour: str) -> str:
        return painted(text, colour, colours=colours)

    rows, more = _rows(opening.settings, opening.findings)
    shown = [HEAD, *[row[:4] for row in rows]]
    widths = [max(len(row[at]) for row in shown) for at in range(3)]
    lines = ["", f"{paint('Penstock', BOLD)} {version} is ready at {paint(opening.url, BOLD)}", ""]
    lines.append(paint("  " + "  ".join(name.ljust(width) for name, width in zip(HEAD, widths, strict=False)), DIM))
    for model, engine, replica, state, why in rows:
        cells = [cell.ljust(width) for cell, width in zip((model, engine, replica), widths, strict=True)]
        cells[0] = paint(cells[0], CYAN)
        lines.append(f"  {'  '.join(cells)}  {paint(state, _colour(state))}{': ' if why else ''}{why}".rstrip())
    if more:
        lines.append(f"  and {more} more: GET /admin/v1/replicas lists them all")
    lines += [f"  {paint('left out', DIM)}  {printable(notice, MOST_REASON)}" for notice in opening.notices]
    if any(finding.state in RISING for finding in opening.findings):
        lines.append("  Until it has started, an engine's requests wait or are answered by 503.")
    lines += ["", "Try it:", ""]
    if opening.settings.auth.keys:
        lines.append("export PENSTOCK_KEY=YOUR_KEY")
    lines.append(curl(opening))
    lines += [f"  {what.ljust(8)}{url}" for what, url in _links(opening)]
    lines += ["", paint("Ctrl-C stops it.", DIM), ""]
    return "\n".join(lines)


def _links(opening: Opened) -> Iterator[tuple[str, str]]:
    """What a browser can open."""
    admin, metrics = opening.settings.admin, opening.settings.server.metrics
    if opening.url.startswith("http"):
        yield "page", f"{opening.url}/"
        yield "API", f"{opening.url}/docs"
    if admin is not None:
        host, port = place_of(admin.listen)
        yield "metrics", f"{'http' if admin.tls is None else 'https'}://{reached_at(host)}:{port}/metrics"
    elif opening.url.startswith("http") and metrics != "off":
        yield "metrics", f"{opening.url}/metrics{'' if metrics == 'open' else ' (with a key)'}"


def curl(opening: Opened) -> str:
    """A request that is answered as it is pasted, where any model's engine was found in order."""
    url, settings = opening.url, opening.settings
    good = {finding.engine for finding in opening.findings if finding.good}
    served = [name for name, model in settings.models.items() if any(each.engine in good for each in model.targets)]
    model = name_to_show(settings.models, served)
    key = '  -H "Authorization: Bearer $PENSTOCK_KEY" \\\n' if settings.auth.keys else ""
    where = f"--unix-socket {url.removeprefix('unix:')} http://localhost" if url.startswith("unix:") else url
    return (
        f"curl {where}/v1/chat/completions \\\n{key}"
        '  -H "Content-Type: application/json" \\\n'
        f'  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'\n'
    )


def _rows(settings: Settings, findings: Sequence[Finding]) -> tuple[list[Row], int]:
    """The first of them, and how many more there are. Each engine's replicas stand where a model asks for it first."""
    by_engine: dict[str, list[Finding]] = {}
    for finding in findings:
        by_engine.setdefault(finding.engine, []).append(finding)
    rows: list[Row] = []
    count = 0
    told: set[str] = set()
    for name, model in settings.models.items():
        shown = printable(name, MOST_LETTERS)
        for engine in dict.fromkeys(target.engine for target in model.targets):
            found = by_engine.get(engine, [])
            if engine in told or not found:
                count += 1
                rows.append((shown, engine, "", "as above" if engine in told else "no replica yet", ""))
            else:
                count += len(found)
                label = engine
                for each in found[: MOST_ROWS - len(rows)]:
                    replica, why = printable(each.replica, MOST_LETTERS), printable(each.why, MOST_REASON)
                    rows.append((shown, label, replica, each.state, why))
                    shown = label = ""
            told.add(engine)
            shown = ""
            del rows[MOST_ROWS:]
    return rows, count - len(rows)


def _colour(state: str) -> str:
    if state == "reachable":
        return GREEN
    return (
        DIM
        if state in ("as above", "not asked", "asleep")
        else YELLOW
        if state in ("starting", "no replica yet")
        else RED
    )
