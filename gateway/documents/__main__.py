"""Write the pages into the checkout's `docs/`."""

from __future__ import annotations

import pathlib
import sys

from gateway.documents import errors, metrics

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> None:
    for name, text in (
        ("errors.md", errors.page()),
        ("metrics.md", metrics.page(ROOT / "helm" / "penstock" / "rules")),
    ):
        (ROOT / "docs" / name).write_text(text)
        sys.stdout.write(f"docs/{name}: written\n")


if __name__ == "__main__":
    main()
