"""The numbers of texts are remembered, within a bound."""

from __future__ import annotations

from gateway.store.database.codes import MAX_TEXTS, Codes


def test_so_many_texts_are_remembered_and_no_more() -> None:
    asked: list[str] = []

    def find(text: str) -> int:
        asked.append(text)
        return len(asked)

    codes = Codes(find)
    for number in range(MAX_TEXTS):
        assert codes[str(number)] == number + 1
    codes.kept()
    assert (dict(codes), codes[""], codes["0"]) == ({"": 0}, 0, MAX_TEXTS + 1)
