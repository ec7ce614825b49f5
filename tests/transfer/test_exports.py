"""What the room hands out, and that handing it out costs nothing before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headstart import transfer


@pytest.mark.parametrize("name", transfer.__all__)
def test_transfer__every_name_is_there_and_documented(name: str) -> None:
    assert getattr(transfer, name).__doc__


def test_transfer__an_unknown_name_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        _ = transfer.unknown


def test_transfer__importing_it_does_not_import_torch() -> None:
    code = "import sys, headstart.transfer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
