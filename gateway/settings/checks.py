"""Rules that span keys, checked on the plain document so that they are reported beside every other problem.

Promise: each check puts up with any shape of input (types are the schema's business) and quotes only names of keys,
which are never substituted.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from engines.kinds.section import EngineSection
from engines.registry import kind_of
from engines.settings.fields import address, check_host, check_url
from gateway.settings.admin_checks import check_admin
from gateway.settings.autoscale_checks import check_autoscale, check_writer
from gateway.settings.errors import MOST_PROBLEMS, Path, Problem, listing, nearest, printable, show_path
from gateway.settings.evaluator_checks import check_evaluators
from gateway.settings.experiment_checks import arm_targets, check_experiments
from gateway.settings.loopback import is_loopback
from gateway.settings.shadow_checks import check_shadows
from gateway.settings.wildcard_checks import check_wildcard
from gateway.wildcard_names import wildcard_of
from routing.choosing.pickers import POLICIES
from routing.model import COSTED, LEAST_LOAD

Report = Callable[[Path, str, str], None]

_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class _EnoughError(Exception):
    """More problems than anybody reads."""


def check(tree: dict[str, Any]) -> list[tuple[Path, Problem]]:
    """Everything the schema alone cannot see, with the path of each."""
    found: list[tuple[Path, Problem]] = []

    def report(path: Path, message: str, hint: str = "") -> None:
        found.append((path, Problem(show_path(path), message, hint)))
        if len(found) >= MOST_PROBLEMS:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        _check(tree, report)
    return found


def _check(tree: dict[str, Any], report: Report) -> None:
    _server(tree, report)
    _auth(tree, report)
    check_admin(tree, report)
    writer = check_writer(tree, report)
    shared = tree.get("peers") is not None and _mapping(tree, "autoscale").get("lease") is None
    for name, engine in _mapping(tree, "engines").items():
        if isinstance(engine, dict):
            _engine(("engines", name), engine, report)
            check_autoscale(("engines", name), engine, writer, report, shared=shared)
    for section in ("engines", "models"):
        if tree.get(section) == {}:
            report((section,), "is empty", "name at least one")
    _models(tree, report)
    check_experiments(tree, report)
    check_shadows(tree, report)
    check_evaluators(tree, report)
    _order(tree, "health", ("timeout_s", 2), ("interval_s", 5), report)
    _order(tree, "breaker", ("open_s", 5), ("max_open_s", 60), report)
    _order(tree, "retry", ("base_backoff_s", 0.025), ("max_backoff_s", 2), report)


def _server(tree: dict[str, Any], report: Report) -> None:
    server = _mapping(tree, "server")
    tls = server.get("tls")
    places: list[Path] = [("server",), ("admin",), ("autoscale", "keda")]
    for place in places:
        pair = tree
        for step in (*place, "tls"):
            pair = _mapping(pair, str(step))
        for key in ("cert", "key"):
            _file((*place, "tls", key), pair.get(key), report)
    if "uds" in server and server["uds"] is not None and isinstance(tls, dict):
        report(("server", "tls"), "does not go with uds", "a unix socket is not encrypted; remove one")


def _auth(tree: dict[str, Any], report: Report) -> None:
    auth, server = _mapping(tree, "auth"), _mapping(tree, "server")
    keys = auth.get("keys", [])
    host = server.get("host", "127.0.0.1")
    public = not server.get("uds") and _passes(check_host, host) and not is_loopback(host)
    if public and not keys and auth.get("open", False) is False:
        report(
            ("auth", "keys"),
            "is empty while server.host is open to other machines",
            "add keys, listen on 127.0.0.1, or write `auth: {open: true}` to let anyone in",
        )
    if keys and auth.get("open") is True:
        report(("auth", "open"), "does not go with keys", "remove the keys or `open: true`")
    cors = server.get("cors")
    origins = cors.get("origins") if isinstance(cors, dict) else None
    if isinstance(origins, list) and "*" in origins and not keys:
        report(
            ("server", "cors", "origins"),
            'lets any page use a gateway that has no keys, by "*"',
            "name the origins, or add auth.keys; `open: true` is for other machines, not for any page",
        )
    models = _mapping(tree, "models")
    ids, hashes = _Seen(report), _Seen(report)
    for index, key in enumerate(keys if isinstance(keys, list) else []):
        path: Path = ("auth", "keys", index)
        if not isinstance(key, dict):
            continue
        ids.add((*path, "id"), key.get("id"), "one key, one id")
        sha256 = key.get("sha256")
        if isinstance(sha256, str):
            hashes.add((*path, "sha256"), sha256.lower(), "one key cannot belong to two clients")
            if sha256.lower() == _EMPTY_SHA256:
                report((*path, "sha256"), "is the hash of an empty key", 'set KEY first: printf %s "$KEY" | sha256sum')
        allowed = key.get("models")
        if allowed == []:
            report((*path, "models"), "is empty, so the key could call nothing", 'name models, or ["*"] for all')
        for at, model in enumerate(allowed if isinstance(allowed, list) else []):
            if isinstance(model, str) and model != "*" and model not in models and not wildcard_of(model, models):
                report((*path, "models", at), "is not a model of this file", _did_you_mean(model, models))


def _engine(path: Path, engine: dict[str, Any], report: Report) -> None:
    section = kind_of(engine)
    for key in ("ca_file", "client_cert", "client_key"):
        _file((*path, key), engine.get(key), report)
    if engine.get("client_key") is not None and engine.get("client_cert") is None:
        report((*path, "client_key"), "goes with client_cert", "a PEM file with the certificate")
    if section is not None:
        _replicas((*path, "replicas"), engine.get("replicas"), report)
        for finding in section.findings(engine):
            hint = finding.hint
            if finding.known:
                hint = _did_you_mean(str(engine.get(str(finding.at[-1]))), finding.known)
            report((*path, *finding.at), finding.message, hint)
    headers = engine.get("headers")
    if engine.get("api_key") is not None and engine.get("api_keys") is not None:
        report((*path, "api_keys"), "does not go with api_key", "a list may hold that one too")
    kind = section or EngineSection
    if engine.get("api_keys") is not None and (engine.get("launch") is not None or kind.always_launched):
        report((*path, "api_keys"), "is for servers that are not launched here", "api_key: one is enough")
    elif engine.get("api_keys") is not None and kind.own_servers:
        what = "is for providers, whose keys have limits of their own: a vLLM server would count as several"
        report((*path, "api_keys"), what, "api_key: one is enough")
    if (engine.get("api_key") or engine.get("api_keys")) is not None and isinstance(headers, dict):
        for name in headers:
            if name.lower() == "authorization":
                report((*path, "headers", name), "does not go with api_key", "api_key already sends it; keep one")


def _replicas(path: Path, replicas: Any, report: Report) -> None:
    urls, ids = _Seen(report), _Seen(report)
    for index, replica in enumerate(replicas if isinstance(replicas, list) else []):
        url = replica.get("url") if isinstance(replica, dict) else None
        checked = check_url(url) if isinstance(url, str) and _passes(check_url, url) else ""
        at: Path = (*path, index)
        if checked and urls.add((*at, "url"), checked, "list each server once"):
            own = replica.get("id")
            hint = "give each its own id" if own is not None else "it defaults to host:port; give each its own id"
            ids.add((*at, "id"), own or address(checked), hint)


def _models(tree: dict[str, Any], report: Report) -> None:
    engines = _mapping(tree, "engines")
    for name, model in _mapping(tree, "models").items():
        if isinstance(model, dict):
            _policy(("models", name), model, report)
            _refusing(("models", name), model, report)
            _weighed(("models", name), model, report)
            _recording(("models", name, "records"), model, tree, report)
            check_wildcard(name, model, engines, report)
        _targets(("models", name, "targets"), model, name, engines, report)
        for at, arm in arm_targets(name, model):
            _targets(at, arm, name, engines, report)


def _targets(at: Path, place: Any, name: str, engines: dict[str, Any], report: Report) -> None:
    """Those of a model, or of an arm of its experiment."""
    targets = place.get("targets") if isinstance(place, dict) else None
    seen = _Seen(report)
    for index, target in enumerate(targets if isinstance(targets, list) else []):
        if not isinstance(target, dict):
            continue
        path: Path = (*at, index)
        engine = target.get("engine")
        if isinstance(engine, str) and engine not in engines:
            report((*path, "engine"), "is not an engine of this file", _did_you_mean(engine, engines))
        elif isinstance(engine, str):
            seen.add(path, (engine, str(target.get("model", name))), "use weight for a larger share")


def _policy(path: Path, model: dict[str, Any], report: Report) -> None:
    policy, slo = model.get("policy"), model.get("slo")
    wants = isinstance(policy, dict) and policy.get("name") == "slo"
    if wants and (slo is None or (isinstance(slo, dict) and slo.get("ttft_ms") is None)):
        report((*path, "policy", "name"), "needs to know when the first token is due", "add slo: {ttft_ms: 500}")


def _refusing(path: Path, model: dict[str, Any], report: Report) -> None:
    """What refusing the late rests on: a cost that counts lateness, and somebody who asks before a request goes."""
    if _mapping(model, "slo").get("refuse_late") is not True:
        return
    at: Path = (*path, "slo", "refuse_late")
    name = _mapping(model, "policy").get("name")
    if name != "slo":
        under = f"the policy {name}" if isinstance(name, str) else "the usual policy"
        report(at, f"means nothing to {under}, which knows no objective", "choose policy: {name: slo}, or leave it out")
    if _mapping(model, "admission").get("enabled") is False:
        report(at, "needs admission, which refuses for it", "leave out admission.enabled, or this")


def _weighed(path: Path, model: dict[str, Any], report: Report) -> None:
    """Settings that are part of a cost, under a policy that adds none up."""
    policy = model.get("policy")
    values = policy if isinstance(policy, dict) else {}
    name = values.get("name")  # left out, it may add costs up, as replicas come
    known = isinstance(name, str) and name in POLICIES
    if _positive(values.get("other_zone_ms")) and known and name not in COSTED:
        hint = f"choose one of {listing(sorted(COSTED))}, or leave it out"
        report((*path, "policy", "other_zone_ms"), f"means nothing to the policy {name}", hint)
    if _positive(model.get("slow_start_s")) and known and name not in COSTED and name != LEAST_LOAD:
        hint = f"choose one of {listing(sorted({*COSTED, LEAST_LOAD}))}, or leave it out"
        report((*path, "slow_start_s"), f"means nothing to the policy {name}, which weighs no load", hint)


def _recording(path: Path, model: dict[str, Any], tree: dict[str, Any], report: Report) -> None:
    records, shadow = model.get("records"), model.get("shadow")
    if not isinstance(records, dict):
        return
    compared = isinstance(shadow, dict) and shadow.get("compare_texts") is True
    if records.get("content") is True and _mapping(tree, "store").get("url") == "off":
        report((*path, "content"), "has nowhere to go: store.url is off", "remove one of the two")
    if records.get("redact") is not None and records.get("content", False) is False and not compared:
        report((*path, "redact"), "has nothing to redact", "add `content: true`, or remove it")


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


class _Seen:
    """Reports a value's second appearance, naming the place of the first."""

    def __init__(self, report: Report) -> None:
        self._first: dict[Any, Path] = {}
        self._report = report

    def add(self, path: Path, value: Any, hint: str) -> bool:
        """Whether `value` is new; None and unhashable values are no values."""
        if value is None or isinstance(value, (dict, list)):
            return False
        first = self._first.setdefault(value, path)
        if first is not path:
            self._report(path, f"is the same as {show_path(first)}", hint)
        return first is path


def _passes(check_value: Callable[[str], str], value: Any) -> bool:
    """Whether the schema will take it; if not, it says why, and checks that build on it would only add noise."""
    try:
        return isinstance(value, str) and bool(check_value(value))
    except ValueError:  # PydanticCustomError is one
        return False


def _file(path: Path, name: Any, report: Report) -> None:
    try:
        missing = isinstance(name, str) and bool(name) and not pathlib.Path(name).is_file()
    except (OSError, ValueError):
        missing = True
    if missing:
        report(path, "names a file that does not exist", "the path of a PEM file, absolute or from where serve starts")


def _order(
    tree: dict[str, Any], section: str, small: tuple[str, float], large: tuple[str, float], report: Report
) -> None:
    values = _mapping(tree, section)
    low, high = values.get(*small), values.get(*large)
    if _number(low) and _number(high) and low > high:
        unwritten = [f"{name} is {default:g} unless written" for name, default in (small, large) if name not in values]
        report((section, small[0]), f"is larger than {large[0]}", "".join(unwritten) or f"{large[0]} is {high:g}")


def _did_you_mean(word: str, known: Collection[str]) -> str:
    near = nearest(word, known)
    if near:
        return f"did you mean {printable(near, 60)}?"
    return f"known: {listing(known)}" if known else "there is none yet"


def _mapping(tree: dict[str, Any], key: str) -> dict[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def targets_of(tree: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every target with its public model name, whatever else the document holds."""
    for name, model in _mapping(tree, "models").items():
        for place in (model, *[arm for _, arm in arm_targets(name, model)]):
            targets = place.get("targets") if isinstance(place, dict) else None
            for target in targets if isinstance(targets, list) else []:
                if isinstance(target, dict):
                    yield name, target
