"""Whatever the text: settings or a ConfigError, never another exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engines.registry import KINDS
from gateway.settings import ConfigError, Loaded, format_problems, load_settings, masked_yaml
from gateway.settings.schema import Settings

WORDS = sorted(
    {*Settings.model_fields, *(field for kind in KINDS.values() for field in kind.model_fields)}
    | {
        "targets",
        "engine",
        "model",
        "url",
        "id",
        "keys",
        "sha256",
        "models",
        "policy",
        "name",
        "tier",
        "weight",
        "[key]",
    }
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["vllm", "openai", "simulator", "a", "*", "http://a", "unix:/a", "${A}", "${B}", "${file:x}", "a" * 64]
    ),
)
KEYS = st.one_of(st.sampled_from(WORDS), st.sampled_from(["a", "b"]), st.text(max_size=5))
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=12
)


def outcome(text: str) -> str:
    try:
        loaded = load_settings(text, {"A": "1"})
    except ConfigError as error:
        return "refused" if error.problems and format_problems(error) else "refused without a word"
    assert isinstance(loaded, Loaded)
    assert masked_yaml(loaded.settings)
    return "loaded"


@given(junk=JUNK)
@example(junk={"[key]": None})
@example(junk={"models": {"[key]": 3, "b d": {"[key]": 1}}, "engines": {"[key]": {"[key]": {}}}})
@settings(deadline=None)
def test_any_value_is_settings_or_a_config_error(junk: Any) -> None:
    assert outcome(json.dumps(junk)) in ("refused", "loaded")


@given(
    sections=st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), JUNK, max_size=6), engine=JUNK, model=JUNK
)
@settings(deadline=None)
def test_any_section_is_settings_or_a_config_error(sections: dict[str, Any], engine: Any, model: Any) -> None:
    tree = {"engines": {"a": engine}, "models": {"m": model}, **sections}
    assert outcome(json.dumps(tree)) in ("refused", "loaded")


@given(
    kind=st.sampled_from(sorted(KINDS)),
    keys=st.dictionaries(st.sampled_from(WORDS), JUNK, max_size=5),
    target=st.dictionaries(st.sampled_from(WORDS), JUNK, max_size=4),
)
@settings(deadline=None)
def test_any_engine_is_settings_or_a_config_error(kind: str, keys: dict[str, Any], target: dict[str, Any]) -> None:
    tree = {"engines": {"a": {**keys, "kind": kind}}, "models": {"m": {"targets": [{**target, "engine": "a"}]}}}
    assert outcome(json.dumps(tree)) in ("refused", "loaded")


@given(text=st.text(alphabet=st.sampled_from(list("a: -[]{}\n\t#&*!|>'\"%@`,?${}0\x00\ud800é"))))
@settings(deadline=None)
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    assert outcome(text) == "refused"
