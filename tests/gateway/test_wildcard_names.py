"""Which wildcard a name belongs to."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wildcard_names import is_wildcard, label_of, wildcard_of

NAMES = st.text("ab/", max_size=5)


def test_the_longest_beginning_wins_and_a_star_stands_for_something() -> None:
    models = ["*", "a/*", "a/b*", "a/bc"]
    found = {name: wildcard_of(name, models) for name in ("a/bx", "a/x", "a/b", "a/", "a", "", "a/bc")}
    assert {
        "a/bx": "a/b*",
        "a/x": "a/*",
        "a/b": "a/*",
        "a/": "*",
        "a": "*",
        "": "",
        "a/bc": "a/b*",
    } == found


def test_a_name_is_counted_as_its_wildcard_unless_a_model_is_called_so() -> None:
    models = ["a/*", "a/b"]
    assert ["a/*", "a/b", "a/*", "c"] == [label_of(name, models) for name in ("a/x", "a/b", "a/*", "c")]


@given(NAMES, st.lists(NAMES.map(lambda name: f"{name}*") | NAMES, max_size=6))
@settings(deadline=None, max_examples=50)
def test_it_is_one_of_the_models_that_fits_and_none_that_fits_is_longer(name: str, models: list[str]) -> None:
    found = wildcard_of(name, models)
    fitting = [one for one in models if is_wildcard(one) and len(name) > len(one) - 1 and name.startswith(one[:-1])]
    assert found in fitting or (found == "" and not fitting)
    assert all(len(one) <= len(found) for one in fitting)
