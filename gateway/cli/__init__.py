"""The `penstock` command: one file per command group, put together in `app`.

Each command loads only what it needs: a start is felt, and typer alone costs 0.1 s.

I want to ... add a command / edit: the file of its group, or a new one and a line in `app.py` /
test: tests/gateway/cli.
"""

from gateway.cli.app import main

__all__ = ["main"]
