"""Names of models that stand for many: the beginning of a name and a star. The longest that fits wins."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

STAR: Final = "*"


def is_wildcard(name: str) -> bool:
    return name.endswith(STAR)


def label_of(name: str, models: Iterable[str]) -> str:
    """What a name is counted as: names of a wildcard as that, and what nobody serves any more as itself."""
    known = frozenset(models)
    return name if name in known else wildcard_of(name, known) or name


def wildcard_of(name: str, models: Iterable[str]) -> str:
    """The wildcard among `models` that stands for this name; empty for none. A star stands for something."""
    fitting = [
        model for model in models if is_wildcard(model) and name.startswith(model[:-1]) and len(name) >= len(model)
    ]
    return max(fitting, key=len, default="")


def name_to_show(names: Iterable[str], preferred: Collection[str] = ()) -> str:
    """A name that a request can be made with, for an example: the first of `preferred`, else the first of `names`.

    A wildcard is no model's name: where nothing else is there, the star gives way to a word that stands for any.
    """
    known = list(names)
    whole = [name for name in known if not is_wildcard(name)]
    for name in (*(name for name in whole if name in preferred), *whole):
        return name
    return f"{known[0][:-1]}NAME" if known else "NAME"


def hint(nearest: Iterable[str]) -> str:
    """What to say of a name that is no model's, of the `nearest` that are."""
    meant = [_meant(name) for name in nearest]
    return f"; did you mean {' or '.join(meant)}?" if meant else "; GET /v1/models lists the models"


def _meant(name: str) -> str:
    if not is_wildcard(name):
        return name
    return f"a name that begins with {name[:-1]}" if len(name) > 1 else "a name without a star"
