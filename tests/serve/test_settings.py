from __future__ import annotations

import pytest

from headstart.errors import InputError
from headstart.serve.settings import ServeSettings, plain_host


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://App.Example", "https://app.example"),
        ("HTTPS://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("*", "*"),
    ],
)
def test_allowed_origins__are_as_browsers_write_them(given: str, kept: str) -> None:
    assert ServeSettings(allowed_origins=(given,)).allowed_origins == (kept,)


@pytest.mark.parametrize(
    "given", ["app.example", "https://", "https://:443", "https://a b", "ws://a"]
)
def test_allowed_origins__others_are_refused(given: str) -> None:
    with pytest.raises(InputError, match="--allow-origin"):
        ServeSettings(allowed_origins=(given,))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Photos.Example.", "photos.example"),
        ("*", "*"),
        ("[::1]", "::1"),
        ("10.0.0.7", "10.0.0.7"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
    ],
)
def test_plain_host__is_as_browsers_send_it(given: str, kept: str) -> None:
    assert plain_host(given) == kept
    assert ServeSettings(allowed_hosts=(given,)).allowed_hosts == (kept,)


@pytest.mark.parametrize(
    "given",
    [
        "https://photos.example",
        "photos.example:8080",
        "http://photos.example:80/x",
        "photos.example/x",
    ],
)
def test_plain_host__names_the_bare_host(given: str) -> None:
    with pytest.raises(InputError, match=r"write --allow-host photos\.example$"):
        plain_host(given)


@pytest.mark.parametrize("given", ["", "a b", "*.example", "a.example,b.example", "[::1]:80"])
def test_plain_host__others_are_refused(given: str) -> None:
    with pytest.raises(InputError, match="--allow-host takes a bare host name"):
        plain_host(given)
