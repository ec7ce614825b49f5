from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from headstart.cli import streams

WORDS = ("é", "Ω", "家", "😀", "“q”")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data folder and a run whose class names few encodings hold."""
    import numpy as np
    from PIL import Image

    import headstart

    base = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    for name, level in (("家 ±", 60), ("😀“é”", 190)):
        (base / "d" / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.normal(level, 25, (48, 48, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(base / "d" / name / f"{i}.png")
    made = headstart.fit(base / "d", out=base / "run", cache=base / "store", resolutions=(64,))
    return base / "d", made.folder


SEVERAL = """
import json, sys
from headstart.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["headstart", *words]
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
    for stream, end in ((sys.stdout, b"\\n%d\\0" % code), (sys.stderr, b"\\0")):
        stream.flush()
        stream.buffer.write(end)
        stream.buffer.flush()
"""


class Said(NamedTuple):
    returncode: int
    stdout: bytes
    stderr: bytes


def commands(*each: tuple[object, ...], **environment: str) -> list[Said]:
    """Each command in turn, in one process whose streams have this encoding."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, json.dumps([list(map(str, words)) for words in each])],
        capture_output=True,
        check=True,
        env={**plain, **environment},
    )
    out, err = done.stdout.split(b"\0")[:-1], done.stderr.split(b"\0")[:-1]
    assert len(out) == len(err) == len(each), done.stderr
    told = [text.rpartition(b"\n") for text in out]
    return [Said(int(code), text, e) for (text, _, code), e in zip(told, err, strict=True)]


ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    pytest.param({"PYTHONIOENCODING": "cp1252"}, marks=pytest.mark.slow),
    pytest.param({"PYTHONIOENCODING": "cp437:strict"}, marks=pytest.mark.slow),
    pytest.param(
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize("environment", ENCODINGS, ids=lambda e: next(iter(e.values())))
def test_predict__prints_on_any_stream(
    environment: dict[str, str], run: tuple[Path, Path], tmp_path: Path
) -> None:
    data, folder = run
    odd = tmp_path / os.fsdecode(b"odd-\xff.png")
    odd.write_bytes(next((data / "家 ±").iterdir()).read_bytes())
    plain, quoted, rows = commands(
        *(("predict", folder, tmp_path, *more) for more in ((), ("--json",), ("--csv",))),
        **environment,
    )
    for said in (plain, quoted, rows):
        assert said.returncode == 0, said.stderr
        assert b"Traceback" not in said.stderr
    encoding = environment.get("PYTHONIOENCODING", "ascii").split(":")[0]
    text = plain.stdout.decode(encoding)
    assert "\\u5bb6" in text  # named so that it is told from every other class
    assert "####" in text or "█" in text
    labels = {top["label"] for top in json.loads(quoted.stdout.decode(encoding))[0]["top"]}
    assert labels == {"家 ±", "😀“é”"}
    [row] = list(csv.DictReader(io.StringIO(rows.stdout.decode(encoding))))
    assert row["label"].startswith("\\u5bb6")
    assert len(row) == 4


def test_command__reports_help_and_errors_on_ascii(run: tuple[Path, Path]) -> None:
    good = [("report", run[1]), ("--help",), ("fit", "--help")]
    bad = [("fit", "no such 家"), ("x",)]
    for said, code in zip(
        commands(*good, *bad, PYTHONIOENCODING="ascii:strict"), [0, 0, 0, 2, 2], strict=True
    ):
        assert said.returncode == code, said.stderr
        said.stdout.decode("ascii")
        assert b"Unicode" not in said.stderr


def test_replace__drawings_keep_their_columns_and_names_stay_apart() -> None:
    streams.make_safe()
    for sign in "█▁▂▃▄▅▆▇─│┌▲·−":
        assert len(sign.encode("ascii", streams.ERRORS)) == 1
    assert "±".encode("ascii", streams.ERRORS) == b"+/-"
    shown = {word.encode("ascii", streams.ERRORS) for word in ("家", "门", "😀", "é")}
    assert len(shown) == 4


def test_replace__never_makes_the_sign_that_ends_a_cell() -> None:
    for sign in streams._SIGNS.values():
        assert not set(sign) & set('",;\t\n\\')


@pytest.mark.parametrize("word", WORDS)
def test_escape__leaves_json_what_it_says(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    escaped = streams.escape(json.dumps({"name": word}, ensure_ascii=False))
    escaped.encode("ascii")
    assert json.loads(escaped) == {"name": word}
