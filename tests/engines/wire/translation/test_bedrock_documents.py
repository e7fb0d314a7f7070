"""Documents of a conversation for Bedrock: no two have one name, however many say the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.wire.bedrock_converse import request_encoder


def told(names: list[str]) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"document": {"name": name}} for name in names]}]


def named(messages: list[dict[str, object]]) -> list[str]:
    request_encoder._number_documents(messages)
    (message,) = messages
    return [block["document"]["name"] for block in message["content"]]  # type: ignore[attr-defined]


@given(names=st.lists(st.sampled_from(["a", "a (2)", "a (3)", "b"]), max_size=12))
@settings(deadline=None)
def test_no_two_have_one_name_and_the_first_of_each_keeps_its_own(names: list[str]) -> None:
    found = named(told(names))
    assert len(set(found)) == len(found) == len(names)
    assert all(after.startswith(before) for before, after in zip(names, found, strict=True))
    if names:
        assert found[0] == names[0]


class Names(set[str]):
    """Names, and how often one was looked for."""

    looks = 0

    def __contains__(self, name: object) -> bool:
        Names.looks += 1
        return super().__contains__(name)


def test_many_of_one_name_are_numbered_in_one_look_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Names, "looks", 0)
    monkeypatch.setattr(request_encoder, "set", Names, raising=False)
    assert named(told(["a"] * 200))[-1] == "a (200)"
    assert Names.looks == 200
