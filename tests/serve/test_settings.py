from __future__ import annotations

import pytest

from headstart.errors import InputError
from headstart.serve.settings import ServeSettings


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
