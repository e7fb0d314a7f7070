"""The tables: those that the lane prints, and those of docs/clients.md."""

from __future__ import annotations

import pathlib

import pytest

from tests.clients import plan
from tests.clients.conftest import tables

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "clients.md"


def test_a_cell_is_what_came_of_a_client_and_a_case_and_empty_where_nobody_asked() -> None:
    at = "tests/clients/test_clients.py::test_a_client_of_python"
    outcomes = {f"{at}[langchain-openai-chat]": "ok", f"{at}[x-chat]": "FAILED", f"{at}[x-cut_stream]": "ok", "a": "ok"}
    before = {f"{at}_before[x-gemini-chat]": "ok", "test_a_client_of_npm_before[openai (npm)-ai21-images]": "ok"}
    assert tables(outcomes | before) == {
        "clients by cases": [
            "                 chat cut_stream",
            "langchain-openai ok",
            "x                FAILED ok",
        ],
        "clients before providers, by cases": [
            "                  chat images",
            "x-gemini          ok",
            "openai (npm)-ai21      400",
        ],
    }
    assert {} == tables({"a": "ok"})


@pytest.mark.parametrize("table", [plan.clients_table, plan.providers_table])
def test_the_page_has_the_tables_of_the_lane(table: object) -> None:
    assert table() in PAGE.read_text(), "put what `python -m tests.clients.plan` prints there"  # type: ignore[operator]
