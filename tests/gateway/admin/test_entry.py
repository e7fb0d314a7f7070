"""Who may ask what on the admin port."""

from __future__ import annotations

import contextlib
import hashlib

import pytest

from gateway.admin.entry import admitted
from gateway.errors import Failure
from gateway.identity import Keyring, Principal

PEERS_KEY = b"sk-of-the-peers"
PATHS = (b"/health", b"/internal/v1/load", b"/metrics", b"/admin/v1/replicas", b"/%6detrics", b"/metrics/", b"/")


def keys(*rights: str) -> Keyring:
    """One key for each, called as its right."""
    return Keyring(
        (
            hashlib.sha256(f"sk-{right}".encode()).hexdigest(),
            Principal(right, "t", admin=right == "admin", metrics=right == "metrics"),
        )
        for right in rights
    )


def allowed(key: bytes, keyring: Keyring, *, local: bool, host: bytes = b"127.0.0.1:8081") -> set[bytes]:
    fields = {b"host": host, **({b"authorization": b"Bearer " + key} if key else {})}
    found = set()
    for path in PATHS:
        with contextlib.suppress(Failure):
            admitted(path, fields, keyring, PEERS_KEY, local=local)
            found.add(path)
    return found


ALL = set(PATHS)


@pytest.mark.parametrize(
    ("key", "paths"),
    [
        (b"", {b"/health"}),
        (b"sk-unknown", {b"/health"}),
        (b"sk-app", {b"/health"}),
        (b"sk-metrics", {b"/health", b"/metrics"}),
        (PEERS_KEY, {b"/health", b"/internal/v1/load"}),
        (b"sk-admin", ALL),
    ],
)
def test_from_elsewhere_each_key_opens_what_it_is_for_and_nothing_more(key: bytes, paths: set[bytes]) -> None:
    assert allowed(key, keys("app", "metrics", "admin"), local=False, host=b"gateway:8081") == paths


def test_a_gateway_without_keys_is_no_open_admin_port_to_others() -> None:
    assert allowed(b"", Keyring(), local=False) == {b"/health"}
    assert allowed(b"anything", Keyring(), local=False) == {b"/health"}
    assert allowed(PEERS_KEY, Keyring(), local=False) == {b"/health", b"/internal/v1/load"}


def test_without_peers_no_key_is_that_of_a_peer() -> None:
    fields = {b"host": b"gateway", b"authorization": b"Bearer "}
    with pytest.raises(Failure, match="no key was shown"):
        admitted(b"/internal/v1/load", fields, keys("admin"), b"", local=False)


def test_on_this_machine_figures_need_no_key_and_administering_does_where_there_are_any() -> None:
    figures = {b"/health", b"/internal/v1/load", b"/metrics"}
    assert allowed(b"", keys("admin"), local=True) == figures
    assert allowed(b"sk-admin", keys("admin"), local=True) == ALL
    assert allowed(b"", Keyring(), local=True) == ALL


def test_a_page_that_points_a_name_of_its_own_at_this_machine_is_refused() -> None:
    assert allowed(b"", Keyring(), local=True, host=b"evil.example.com") == {b"/health"}
    fields = {b"host": b"localhost:8081", b"origin": b"https://evil.example.com"}
    with pytest.raises(Failure, match="web page"):
        admitted(b"/metrics", fields, Keyring(), b"", local=True)


def test_a_refusal_says_which_key_would_do() -> None:
    fields = {b"host": b"gateway", b"x-api-key": b"sk-app"}
    with pytest.raises(Failure, match="'app' is none: the admin port asks for a key with `metrics: true` or `admin"):
        admitted(b"/metrics", fields, keys("app"), PEERS_KEY, local=False)
