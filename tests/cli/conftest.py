"""The command line run in this process: exit code, standard output, standard error."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from headstart.cli.app import run
from headstart.wording import MOST_WORDS


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def headstart(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*words: object) -> Said:
        code = run([str(w) for w in words])
        captured = capsys.readouterr()
        # A space between number and unit is shown as one, not as its code.
        assert r"\xa0" not in captured.out + captured.err
        for line in captured.out.splitlines():
            if line.startswith(("page     ", "report   ")):
                check_headline(Path(line[9:]), captured.out)
        return Said(code, captured.out, captured.err)

    return call


def check_headline(page: Path, out: str) -> None:
    """A page that a verb writes begins with one short sentence, the same as in the terminal."""
    [headline] = re.findall(r"<h1>(.*?)</h1>", page.read_text(encoding="utf-8"), re.DOTALL)
    said = html.unescape(headline).replace("\u00a0", " ")
    assert len(said.split()) <= MOST_WORDS, said
    assert said.endswith(".")
    assert ". " not in said, said
    assert said in out.replace("\u00a0", " ")


@pytest.fixture
def fails(headstart: Callable[..., Said]) -> Callable[..., str]:
    """Run a command that must fail as bad input does: exit code 2 and one line."""

    def call(*words: object) -> str:
        said = headstart(*words)
        assert said.code == 2, said
        lines = said.err.strip().splitlines()
        assert len(lines) == 1, said.err
        assert lines[0].startswith("headstart: ")
        assert "Traceback" not in said.err
        return lines[0]

    return call


def write_photos(root: Path, *, n: int = 6) -> Path:
    """Two classes of ``n`` small pictures, dark and bright."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", 190)):
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.normal(level, 25, (48, 48, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data folder and a run made from it."""
    import headstart

    base = tmp_path_factory.mktemp("finished")
    data = write_photos(base / "photos")
    run = headstart.fit(data, out=base / "run", cache=base / "store", resolutions=(64,))
    return data, run.folder
