"""docs/clients.md: each model that a recipe names is in the configuration that the page gives."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.settings import load_settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "clients.md").read_text()
NAMED = re.compile(r"""\bmodel(?:_name)?\s*[=:]\s*"(?:openai/)?([a-z0-9-]+)\"""")


def test_every_model_of_the_recipes_is_configured_by_the_file_that_the_page_shows() -> None:
    (file,) = re.findall(r"```yaml\n(# mine\.yaml\n.*?)```", PAGE, re.DOTALL)
    named = set(NAMED.findall(PAGE))
    assert {"chat", "embed", "transcribe", "speech", "image"} <= named
    assert named <= set(load_settings(file, {}).settings.models)
