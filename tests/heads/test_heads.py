from __future__ import annotations

import subprocess
import sys

import pytest

from headstart import heads


def test_heads__exports_its_public_names() -> None:
    assert heads.__all__ == sorted(heads.__all__)
    assert {"Interval", "LinearSVM", "LinearSVMPath", "is_significant"} <= set(heads.__all__)
    for name in heads.__all__:
        assert getattr(heads, name).__name__ == name


def test_heads__has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="attribute LinearSVR"):
        getattr(heads, "LinearSVR")  # noqa: B009


def test_heads__imports_nothing_heavy_until_asked() -> None:
    code = "import sys, headstart.heads; print(*({'torch', 'sklearn', 'scipy'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
