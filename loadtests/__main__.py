"""`penstock-load`, and `python -m loadtests`: the command line, or one sentence about what it lacks."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit status 2 when the load-test dependencies are not installed."""
    try:
        import numpy  # noqa: F401  # the one dependency that serving does not have
    except ModuleNotFoundError:
        print("penstock-load needs its own dependencies: pip install 'penstock[load]'", file=sys.stderr)
        sys.exit(2)
    from loadtests.cli.commands import app

    app()


if __name__ == "__main__":
    main()
