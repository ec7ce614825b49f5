"""What the room hands out."""

from __future__ import annotations

import subprocess
import sys

import headstart.training


def test_all__is_there() -> None:
    assert all(getattr(headstart.training, name) for name in headstart.training.__all__)


def test_import__is_light() -> None:
    code = "import headstart.training, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
