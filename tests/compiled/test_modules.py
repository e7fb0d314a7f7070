"""What the compiled lane runs first: without this, it could test the Python that lies beside each library."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gateway import version
from tests.compiled.run import LIST

pytestmark = pytest.mark.compiled

ROOT = Path(__file__).resolve().parents[2]


def test_every_module_of_the_list_is_loaded_from_a_library() -> None:
    modules = (ROOT / LIST).read_text().split()
    assert modules
    origins = {name: str(importlib.import_module(name).__file__) for name in modules}
    assert {name: file for name, file in origins.items() if not file.endswith(".so")} == {}


def test_the_build_says_that_it_is_compiled() -> None:
    assert version.build() == "compiled"
