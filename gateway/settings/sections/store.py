"""Where records are kept."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from engines.settings.fields import Section, Whole, wrong

OFF = "off"
_URL = re.compile(
    r"sqlite:///[^\x00-\x1f\x7f?]+|postgres(ql)?://([\x21-\x2e\x30-\x3f\x41-\x7e]+@)?[\x21-\x3f\x41-\x7e]+"
)


def _store_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text != OFF and not _URL.fullmatch(text):
        if text.startswith("postgres") and "@" in text:
            raise wrong("should be postgresql://USER:PASSWORD@HOST/DATABASE; percent-encode the password, @ is %40")
        raise wrong("should be sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, or off")
    return value


class Store(Section):
    """One record for each request, and the sums that reports are made of."""

    url: Annotated[SecretStr, AfterValidator(_store_url)] | None = Field(
        default=None,
        description="sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE, or off; left out, SQLite in data_dir",
    )
    retention_days: Whole = Field(
        default=90, ge=1, le=3650, description="days that single records are kept, 1 to 3650; sums stay"
    )

    content_retention_days: Whole = Field(
        default=30, ge=1, le=3650, description="days that prompts and answers are kept where a model keeps any"
    )

    @property
    def on(self) -> bool:
        return self.url is None or self.url.get_secret_value() != OFF
