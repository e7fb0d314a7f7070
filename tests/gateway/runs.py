"""Whose a record is."""

from __future__ import annotations


def run_of(record_id: str) -> str:
    """The run whose id it is: each worker process has one."""
    return record_id[13:16] + record_id[17:26]
