"""The effective configuration as YAML that can be pasted into a ticket.

Promise: defaults are written out; a value that came from outside shows its `${...}` as the file has it; a secret
written into the file shows as `***`.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, SecretStr

from engines.kinds.section import ReplicaSection
from gateway.settings.errors import Path
from gateway.settings.schema import Settings

MASK = "***"
_SECRET_FLAG = re.compile(r"--?[A-Za-z0-9_-]*(key|token|secret|password)[A-Za-z0-9_-]*(=.*)?", re.IGNORECASE)


def masked_yaml(settings: Settings) -> str:
    """YAML text of `settings`, safe to print."""
    import yaml

    text: str = yaml.safe_dump(
        _plain(settings, (), settings._references), sort_keys=False, allow_unicode=True, width=100
    )
    return text


def _plain(value: Any, path: Path, references: dict[Path, str]) -> Any:
    if path in references:
        return references[path]
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, ReplicaSection) and "id" not in value.model_fields_set and (*path, "url") in references:
        # The default id is part of the URL, and the URL is not ours to show.
        return {"url": references[(*path, "url")]}
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return {
            name: MASK if name == "sha256" else _plain(getattr(value, name), (*path, name), references)
            for name in names
            if getattr(value, name) is not None
        }
    if isinstance(value, dict):
        return {key: _plain(item, (*path, key), references) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [_plain(item, (*path, index), references) for index, item in enumerate(value)]
        return _arguments(items) if path[-1:] == ("args",) else items
    return value


def _arguments(items: list[Any]) -> list[Any]:
    """Hide what follows a flag such as --api-key."""
    shown = []
    hide = False
    for item in items:
        flag = _SECRET_FLAG.fullmatch(item) if isinstance(item, str) else None
        if hide and not str(item).startswith("--"):
            shown.append(MASK)
        elif flag and flag[2]:
            shown.append(item.partition("=")[0] + "=" + MASK)
        else:
            shown.append(item)
        hide = bool(flag) and not (flag and flag[2])
    return shown
