"""From text to `Settings`, whole or not at all.

Order: YAML, references, cross-key checks on the whole document, optional engines dropped, schema. Every stage after
the first adds to one list of problems, so a file is mended in one round.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from engines.files import NotReadable, read_regular
from gateway.fleet.steps import at_once
from gateway.settings.checks import check, targets_of
from gateway.settings.document import MAX_BYTES, BadDocument, Document, read_document
from gateway.settings.errors import ConfigError, Path, Problem, printable, show_path
from gateway.settings.explain import explain, with_got
from gateway.settings.optional import Kept, drop_optional, with_defaults
from gateway.settings.references import Resolved, resolve_references
from gateway.settings.schema import Settings

MAX_CA_BYTES: Final = 4 * 1024 * 1024
"""The authorities of a whole system are 0.2 MiB."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A usable configuration."""

    settings: Settings
    notices: tuple[str, ...]
    """Sentences to log: engines left out, engines and prices nothing uses."""
    digest: str
    """Hex hash of the text and of everything its references brought in: equal digests, equal settings."""
    tree: Mapping[str, Any] = field(repr=False)
    """The values that were checked, references replaced: for `gateway.settings.sealed`. Secrets stand in it."""
    authorities: str
    """Hex hash of what the engines' `ca_file`s hold; empty without one."""


def load_settings(
    source: pathlib.Path | str,
    environ: Mapping[str, str],
    *,
    server: Mapping[str, Any] | None = None,
    base: pathlib.Path | None = None,
    name: str | None = None,
) -> Loaded:
    """Read, resolve and validate a configuration.

    Args:
        source: A `Path` is a file to read; a `str` is the YAML text itself.
        environ: Where `${NAME}` is looked up.
        server: Values that replace those of the `server` section (command-line flags), None ones left alone. They
            are checked with the file, so that `--host 0.0.0.0` does not slip past the rule on open gateways.
        base: What file references in a text are relative to; a file's are relative to its own directory.
        name: What to call a text in complaints; a file is called by its path.

    Raises:
        ConfigError: with every problem found. Nothing else, whatever the text.
    """
    if isinstance(source, pathlib.Path):
        name, base, text = str(source), source.parent, read_source(source)
    else:
        name, base, text = name or "configuration", base or pathlib.Path(), source
    document = _parse(text, name)
    # `limits:` with nothing below it, as a commented-out section leaves it, counts as not written.
    tree = {key: value for key, value in document.tree.items() if value is not None or key not in Settings.model_fields}
    overrides = {key: value for key, value in (server or {}).items() if value is not None}
    if overrides and isinstance(tree.get("server") or {}, dict):
        tree["server"] = {**(tree.get("server") or {}), **overrides}
    resolved = resolve_references(tree, environ, base)
    whole = with_defaults(resolved.tree)
    kept = drop_optional(whole, resolved)
    settings, problems = _validate(whole, kept, resolved)
    if settings is None:
        # Raised here and not where pydantic's error is caught: its context would keep the values alive.
        raise ConfigError(_finish(problems, tree, document), name)
    settings._references = {kept.moved(path): text for path, text in resolved.references.items() if kept.has(path)}
    notices = (*kept.notices, *_unused(whole, kept))
    return Loaded(settings, notices, _digest(text, overrides, resolved), kept.tree, _authorities(settings))


def read_source(path: pathlib.Path) -> str:
    """The text of a configuration file. Raises ConfigError."""
    try:
        return read_regular(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem("", "is not UTF-8 text", "save it as UTF-8", line=line)
    except NotReadable as error:
        problem = Problem("", f"cannot be read: {error}", "check the path")
    raise ConfigError((problem,), str(path))


def _parse(text: str, name: str) -> Document:
    try:
        document = read_document(text)
    except BadDocument as error:
        problem = error.problem
    else:
        if isinstance(document.tree, dict):
            return document
        state = "is empty" if document.tree is None else "should be a mapping (key: value) at the top"
        problem = Problem("", state, "it needs at least the sections engines and models", line=1)
    raise ConfigError((problem,), name)


def _validate(
    whole: dict[str, Any], kept: Kept, resolved: Resolved
) -> tuple[Settings | None, list[tuple[Path, Problem]]]:
    """The settings of `kept`, or every problem of `whole`: a typo in an engine that is left out today is one too."""

    def left_out(path: Path) -> bool:
        return len(path) > 1 and path[0] == "engines" and path[1] in kept.engines

    schema: list[tuple[Path, Problem]] = []
    settings = None
    try:
        settings = Settings.model_validate(whole)
    except ValidationError as error:
        schema = explain(error, whole)
    # A place whose reference failed has been reported; what the checks think of what is left there is noise.
    failed = {path for path, _ in resolved.problems}
    problems = [found for found in resolved.problems if not left_out(found[0])]
    problems += [found for found in (*check(whole), *schema) if found[0] not in failed]
    if whole.get("models") and not kept.tree.get("models"):
        problems.append(
            (("models",), Problem("models", "is empty without the optional engines", "; ".join(kept.notices)))
        )
    if problems:
        return None, problems
    if settings is None or kept.engines:
        # None: the schema only minded values that an unset variable would have filled in.
        settings = Settings.model_validate(kept.tree)
    return settings, []


def _finish(problems: list[tuple[Path, Problem]], tree: Any, document: Document) -> tuple[Problem, ...]:
    """With places and what the file says, one per path, in the order of the file."""
    done: dict[Path, Problem] = {}
    for path, problem in problems:
        line = next((document.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in document.lines), None)
        finished = replace(with_got(problem, path, tree), path=show_path(path), line=line)
        done.setdefault(path, finished)
    return tuple(sorted(done.values(), key=lambda problem: (problem.line or 0, problem.path)))


def _unused(whole: dict[str, Any], kept: Kept) -> list[str]:
    used, priced = set(), set()
    for _, target in targets_of(whole):
        used.add(target["engine"])
        priced |= {target["model"], f"{target['engine']}/{target['model']}"}
    notices = [f"engine {printable(name, 60)} serves no model" for name in kept.tree["engines"] if name not in used]
    notices += [
        f"the price of {printable(name, 60)} fits no target: keys are <model> or <engine>/<model>"
        for name in whole.get("prices") or {}
        if name not in priced
    ]
    return notices


def ca_files(settings: Settings) -> list[str]:
    """The files of authorities that engines name, each once."""
    found: set[str] = set()
    at_once(gather_ca_files(settings, found))
    return sorted(found)


def gather_ca_files(settings: Settings, found: set[str]) -> Iterator[None]:
    """The same in steps: of 300 engines it takes a millisecond."""
    for section in settings.engines.values():
        found.update(section.trust.files)
        yield


def _digest(text: str, overrides: dict[str, Any], resolved: Resolved) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for part in (*resolved.values, repr(sorted(overrides.items()))):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _authorities(settings: Settings) -> str:
    contents = [hashlib.sha256(ca_content(name)).hexdigest() for name in ca_files(settings)]
    return hashlib.sha256("".join(contents).encode()).hexdigest() if contents else ""


def ca_content(name: str) -> bytes:
    """What a file of authorities holds, or why it cannot be read: whoever makes a TLS context of it will say so too."""
    try:
        return read_regular(pathlib.Path(name), MAX_CA_BYTES)
    except NotReadable as error:
        return str(error).encode()
