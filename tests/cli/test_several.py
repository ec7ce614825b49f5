"""The command in several processes: who speaks, what is refused, and a whole run in two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.cli.several import follows

HERE = {
    "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1",
}  # fmt: skip


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def become(rank: int) -> None:
        for name, value in {**HERE, "RANK": str(rank), "LOCAL_RANK": str(rank)}.items():
            monkeypatch.setenv(name, value)

    return become


@pytest.mark.parametrize("words", [("fit", "photos"), ("transfer", "layers"), ("doctor",)])
def test_run__other_verbs_run_in_one_process(
    words: tuple[str, ...], as_rank: Callable, fails: Callable, headstart: Callable
) -> None:
    as_rank(0)
    assert fails(*words) == (
        f"headstart: headstart {words[0]} runs in one process, and 2 were started: leave torchrun out"
    )
    as_rank(1)
    assert headstart(*words) == (2, "", "")


def test_run__the_first_alone_tells_a_wrong_option(
    as_rank: Callable, fails: Callable, headstart: Callable
) -> None:
    as_rank(0)
    assert "has no option --nonsense (" in fails("finetune", "photos", "--nonsense")
    as_rank(1)
    assert headstart("finetune", "photos", "--nonsense") == (2, "", "")


def test_run__an_environment_that_does_not_fit_is_told(
    as_rank: Callable, fails: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_rank(0)
    monkeypatch.setenv("RANK", "first")
    assert "RANK must be a whole number, got 'first'" in fails("finetune", "photos")


def test_follows__a_file_of_the_working_folder_stands_for_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(9)")
    (tmp_path / "typer.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        follows(2, ["--version"], None, lambda: pytest.fail("it follows nobody"))
    assert ended.value.code == 0


def test_finetune__processes_must_be_one_at_least(fails: Callable) -> None:
    assert "--processes" in fails("finetune", "photos", "--processes", "0")


def command(*words: object, n: int = 2) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headstart", "finetune", *map(str, words), "--processes", str(n)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ.copy(),
    )


@pytest.mark.slow
def test_finetune__in_two_processes_compares_as_one_does(
    photos: Path, tmp_path: Path, headstart: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        photos,
        "--compare",
        "regimes",
        "--seeds",
        1,
        "--size",
        32,
        "--epochs",
        1,
        "--batch-size",
        4,
        "--json",
    )
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "one"))
    one = json.loads(headstart("finetune", *words, "--out", tmp_path / "a").out)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "two"))
    ended = command(*words, "--out", tmp_path / "b")
    assert (ended.returncode, ended.stderr) == (0, "")
    two = json.loads(ended.stdout)  # once
    for theirs, ours in zip(one["arms"], two["arms"], strict=True):
        for epochs, expected in zip(ours["histories"], theirs["histories"], strict=True):
            for epoch, other in zip(epochs, expected, strict=True):
                assert epoch["train_loss"] == pytest.approx(other["train_loss"], rel=1e-2)
    assert (tmp_path / "b" / "comparison.html").exists()


@pytest.mark.slow
def test_finetune__in_two_processes_leaves_a_run_that_predicts(
    photos: Path, tmp_path: Path, headstart: Callable
) -> None:
    run = tmp_path / "run"
    words = (photos, "--size", 32, "--epochs", 1, "--batch-size", 4, "--out", run)
    ended = command(*words, "--quiet")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("report   ") == 1
    assert headstart("predict", run, photos / "dark").code == 0


@pytest.mark.slow
def test_finetune__in_two_processes_a_fault_is_told_once(photos: Path, tmp_path: Path) -> None:
    for words, message in (
        ((tmp_path / "nowhere",), "no such folder"),
        ((photos, "--regime", "outpu"), "got 'outpu'. Did you mean 'output'"),
        ((photos, "--bn", "sorce"), "Did you mean 'source'?"),
        ((photos, "--batch-size", 1, "--size", 32), "a batch of 1 cannot be shared by 2 processes"),
        ((photos, "--device", "mps"), "--device mps"),
    ):
        ended = command(*words, "--quiet", "--out", tmp_path / "out")
        assert ended.returncode == 2, ended
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert message in ended.stderr


@pytest.mark.slow
def test_finetune__texts_are_for_one_process(tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\n" + "".join(f"a word {i},{i % 2}\n" for i in range(20)))
    ended = command(table, "--text", "text", "--label", "label")
    assert ended.returncode == 2
    assert ended.stderr == (
        "headstart: a training on texts runs in one process, and 2 were started: leave torchrun out\n"
    )
