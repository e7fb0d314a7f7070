"""The table that the lane prints."""

from __future__ import annotations

from tests.clients.conftest import table


def test_a_cell_is_what_came_of_a_client_and_a_case_and_empty_where_nobody_asked() -> None:
    at = "tests/clients/test_clients.py::test_a_client_of_python"
    outcomes = {f"{at}[langchain-openai-chat]": "ok", f"{at}[x-chat]": "FAILED", f"{at}[x-cut_stream]": "ok", "a": "ok"}
    assert [
        "                 chat cut_stream",
        "langchain-openai ok",
        "x                FAILED ok",
    ] == table(outcomes)
    assert [] == table({"a": "ok"})
