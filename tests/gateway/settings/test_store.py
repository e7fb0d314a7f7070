"""Which URLs a store may have."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.settings.sections.store import Store


@pytest.mark.parametrize(
    "url", ["postgresql://u:p%40w@h:5432/d", "postgres://h/d", "postgresql://u@h/d?sslmode=require", "sqlite:///a@b"]
)
def test_a_url_is_taken(url: str) -> None:
    assert Store.model_validate({"url": url}).on


@pytest.mark.parametrize("password", ["p@w", "p/w"])
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Store.model_validate({"url": f"postgresql://u:{password}@h/d"})
    (told,) = refused.value.errors(include_input=False)
    assert "percent-encode the password" in told["msg"]
    assert password not in told["msg"]
