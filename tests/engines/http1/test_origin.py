"""What a URL says about where to connect and what to call it."""

from __future__ import annotations

import ssl

import pytest

from engines.http1.origin import parse_origin


@pytest.mark.parametrize(
    ("url", "host", "port", "base_path", "authority"),
    [
        ("http://10.0.0.1:8000", "10.0.0.1", 8000, "", "10.0.0.1:8000"),
        ("http://engine", "engine", 80, "", "engine"),
        ("http://engine:80/", "engine", 80, "", "engine"),
        ("http://engine:443", "engine", 443, "", "engine:443"),
        ("https://api.example/studio/v1/", "api.example", 443, "/studio/v1", "api.example"),
        ("https://api.example:8443/v1", "api.example", 8443, "/v1", "api.example:8443"),
        ("http://[::1]:8000/v1", "::1", 8000, "/v1", "[::1]:8000"),
        ("http://[fd00::2]", "fd00::2", 80, "", "[fd00::2]"),
        ("unix:/run/engine.sock", "localhost", 80, "", "localhost"),
    ],
)
def test_a_url_is_read(url: str, host: str, port: int, base_path: str, authority: str) -> None:
    origin = parse_origin(url)
    assert (origin.host, origin.port, origin.base_path, origin.authority) == (host, port, base_path, authority)
    assert (origin.tls is not None) == url.startswith("https:")
    assert origin.uds == ("/run/engine.sock" if url.startswith("unix:") else None)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://engine",
        "engine:8000",
        "http://",
        "https:///v1",
        "unix:relative.sock",
        "unix:",
        "http://user:secret@engine",
        "http://user@engine",
        "http://engine/?key=secret",
        "http://engine/#part",
        "http://engine:99999",
        "http://[::1",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_origin(url)
    assert "secret" not in str(caught.value)


def test_https_checks_certificates_and_host_names_unless_told_otherwise() -> None:
    default = parse_origin("https://api.example").tls
    assert default is not None
    assert (default.check_hostname, default.verify_mode) == (True, ssl.CERT_REQUIRED)
    own = ssl.create_default_context()
    assert parse_origin("https://api.example", own).tls is own
    assert parse_origin("http://api.example", own).tls is None
