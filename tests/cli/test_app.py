from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as package

COMMAND = [sys.executable, "-c", "from headstart.cli import main; main()"]


def test_help__names_every_verb_and_shows_an_example(headstart: Callable) -> None:
    said = headstart("--help")
    assert said.code == 0
    for verb in ("fit", "predict", "report", "backbones"):
        assert verb in said.out
    assert "headstart fit photos/" in said.out


@pytest.mark.parametrize("verb", ["fit", "predict", "report", "backbones"])
def test_help__every_verb_fits_eighty_columns(
    headstart: Callable, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = headstart(verb, "--help")
    assert said.code == 0
    assert max(len(line) for line in said.out.splitlines()) <= 80


def test_help__imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from headstart.cli.app import run\n"
        "run(['--help'])\n"
        "heavy = {'torch', 'sklearn', 'timm', 'scipy', 'openvino', 'pyarrow', 'numpy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in said.stdout


def test_version(headstart: Callable) -> None:
    assert headstart("--version").out.strip() == f"headstart {package.__version__}"


def test_unknown_verb__is_one_line_with_a_hint(fails: Callable) -> None:
    assert "Did you mean 'fit'" in fails("fot", "x")


@pytest.mark.parametrize("group", ["baseline", "lab", "transfer"])
def test_group_without_a_verb__shows_its_help_and_nothing_else(
    headstart: Callable, group: str
) -> None:
    said = headstart(group)
    assert said.code == 2
    assert "Usage" in said.out + said.err
    assert "headstart:" not in said.err


def test_unknown_option__is_one_line(fails: Callable) -> None:
    assert "--resolution" in fails("fit", "x", "--resolution", "3")


def test_missing_argument__is_one_line(fails: Callable) -> None:
    assert "data" in fails("fit").lower()


def test_error__as_json_for_machines(headstart: Callable, tmp_path: Path) -> None:
    said = headstart("fit", tmp_path / "nowhere", "--json")
    assert said.code == 2
    answer = json.loads(said.out)
    assert answer["exit_code"] == 2
    assert "nowhere" in answer["error"]


def test_debug__shows_the_traceback(headstart: Callable, tmp_path: Path) -> None:
    from headstart.errors import DataError

    with pytest.raises(DataError):
        headstart("fit", tmp_path / "nowhere", "--debug")


def test_unexpected_failure__is_one_line_and_exit_code_1(
    headstart: Callable, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import headstart.runs.job as module

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(module, "choose", broken)
    said = headstart("fit", photos, "--out", tmp_path / "run", "--resolutions", "64", "--quiet")
    assert said.code == 1
    assert said.err.strip().count("\n") == 0
    assert "unexpected ZeroDivisionError" in said.err


def test_interrupt__is_clean_and_the_same_command_goes_on(tmp_path: Path, photos: Path) -> None:
    environment = {**os.environ, "HEADSTART_CACHE": str(tmp_path / "store")}
    words = [*COMMAND, "fit", str(photos), "--out", str(tmp_path / "run"), "--resolutions", "64"]
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as job:
        assert job.stderr is not None
        first = job.stderr.readline()
        assert first.startswith("read images"), first
        time.sleep(0.2)
        job.send_signal(2)
        _out, err = job.communicate(timeout=60)
    assert job.returncode == 130, err
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("headstart: stopped;")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "store"]
    again = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "report.html").is_file()


def test_full_disk__is_one_line_and_leaves_no_run(tmp_path: Path, photos: Path) -> None:
    """A limit of 20 kB a file stands in for a disk without room; the kernel refuses the write."""
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from headstart.cli import main; main()"
    )
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            limited,
            "fit",
            str(photos),
            "--out",
            str(tmp_path / "run"),
            "--resolutions",
            "64",
            "--quiet",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HEADSTART_CACHE": str(tmp_path / "store")},
        check=False,
    )
    assert said.returncode == 2, said.stderr
    assert said.stderr.startswith("headstart: cannot write")
    assert said.stderr.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".run*"))


def test_closed_pipe__ends_quietly() -> None:
    said = subprocess.run(
        f"{sys.executable} -c 'from headstart.cli import main; main()' backbones | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in said.stderr
    assert "Exception" not in said.stderr


@pytest.mark.slow
def test_doctor__names_the_engines_and_why(headstart: Callable) -> None:
    said = headstart("doctor", "--json")
    assert said.code == 0, said
    found = json.loads(said.out)
    assert found["cores"] >= 1
    rates = [t["images_per_s"] for t in found["engines"] if t["error"] is None]
    assert rates == sorted(rates, reverse=True)
    assert any(t["engine"].startswith("torch") for t in found["engines"])
    assert any("bfloat16" in line for line in found["advice"])
    if found["device"] == "cpu":
        by_cores = {int(n): rate for n, rate in found["images_per_s_by_cores"].items()}
        assert {1, found["cores"]} <= set(by_cores) <= set(range(1, found["cores"] + 1))
        assert min(by_cores.values()) > 0
    [runtime] = [f for f in found["findings"] if f["about"] == "runtime"]
    assert "images/s" in runtime["says"]


def test_doctor__without_speed_marks_each_finding_in_words(
    headstart: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    said = headstart("doctor", "--no-speed")
    assert said.code == 0, said
    assert "images/s" not in said.out
    assert "ok       store: " in said.out
    assert said.out.rstrip().splitlines()[-1].startswith("problems: 0, notes: ")
    assert not (tmp_path / "cache").exists()
    shard = tmp_path / "cache" / "features" / "0" / "shard-0.arrow"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"no arrow")
    said = headstart("doctor", "--no-speed")
    assert said.code == 1
    assert "problem  store: 1 damaged or half-written" in said.out
    assert "-> headstart store verify names them" in said.out
    assert json.loads(headstart("doctor", "--no-speed", "--json").out)["engines"] == []
