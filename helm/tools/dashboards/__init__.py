"""Grafana dashboards, a file each: `PAGE` is one. `python -m helm.tools` writes them as JSON into the chart."""

from __future__ import annotations

import importlib
import pathlib
import pkgutil

from helm.tools.dashboards.page import Page, text

FOLDER = pathlib.Path(__file__).parents[2] / "penstock" / "dashboards"


def pages() -> list[Page]:
    """Every dashboard, by its name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "page")
    return [importlib.import_module(f"{__name__}.{name}").PAGE for name in names]


def files() -> dict[pathlib.Path, str]:
    """The text of each file."""
    return {FOLDER / f"{page.name}.json": text(page) for page in pages()}
