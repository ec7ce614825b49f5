"""Starting one command in several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.training import launching
from headstart.training.launching import launch

# One write a line: the processes share a pipe, and print writes piece by piece where it has no buffer.
TOLD = """
import os
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "OMP_NUM_THREADS")
os.write(1, (" ".join(os.environ[name] for name in names) + "\\n").encode())
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_launch__tells_each_process_which_it_is(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert launch(python(TOLD), 3) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["0 0 3 5", "1 1 3 5", "2 2 3 5"]
    assert "RANK" not in os.environ


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os; raise SystemExit(2 * (os.environ['RANK'] == '1'))", 2),
        ("import os; os.environ['RANK'] == '1' and os.kill(os.getpid(), 9)", 1),
        ("raise SystemExit(130)", 130),
    ],
)
def test_launch__ends_as_the_worst_of_them(code: str, expected: int) -> None:
    assert launch(python(code), 2) == expected


def test_launch__ends_those_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE_S", 0.2)
    monkeypatch.setattr(launching, "KILL_S", 1.0)
    stubborn = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "os.environ['RANK'] == '0' and time.sleep(60) or os._exit(3)"
    )
    began = time.monotonic()
    assert launch(python(stubborn), 2) == 3
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_launch__passes_a_signal_on_once(number: signal.Signals, tmp_path: Path) -> None:
    child = (
        "import os, pathlib, signal, sys, time\n"
        f"def note(*_): os.write(1, b'noted\\n'); time.sleep(0.3); sys.exit(7)\n"
        f"signal.signal({int(number)}, note)\n"
        f"pathlib.Path({str(tmp_path)!r}, os.environ['RANK']).touch()\n"
        "time.sleep(60)\n"
    )
    code = f"import sys; from headstart.training.launching import launch; sys.exit(launch([sys.executable, '-S', '-c', {child!r}], 2))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, process_group=0
    )
    limit = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as a terminal sends Ctrl-C: to its whole group
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert out.split() == ["noted", "noted"]
