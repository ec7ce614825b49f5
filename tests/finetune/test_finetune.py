"""What the room hands out."""

from __future__ import annotations

import subprocess
import sys

import headstart.finetune


def test_all__is_there() -> None:
    assert all(getattr(headstart.finetune, name) for name in headstart.finetune.__all__)


def test_import__is_light() -> None:
    code = "import headstart.finetune, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
