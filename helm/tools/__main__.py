"""`python -m helm.tools`: write what the chart has of the gateway's declarations; --check says what is stale."""

from __future__ import annotations

import sys

from helm.tools import dashboards
from helm.tools.schema import WRITTEN, schema


def main(arguments: list[str]) -> int:
    """0 where nothing was stale, or all was written."""
    files = {WRITTEN: schema(), **dashboards.files()}
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path} is stale: run `python -m helm.tools`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(files[path])
        print(f"{path}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
