"""Names of files, classes and columns that attack who reads them, followed from `fit` to every place.

They come out escaped in the terminal (no controls, no marks that turn the direction of writing), in CSV
(no formulas), in HTML (no markup), in JSON (whole, and harmless to look at).
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from headstart.backbones import load
from headstart.cli.app import run as command
from headstart.runs.predictions import csv_text

ARCH = "timm:test_resnet"
CLASSES = ("=cmd|' C'!A0", "<img src=x onerror=alert(1)>")
FILES = (
    "\x1b]0;owned\x07\x1b[31mred.png",
    "\u202egnp.exe.png",
    "@SUM(1)\n+1.png",
    "{{7*7}}[bold]&amp;'\"<q7>.png",
    "\x9b31mc1.png",
    "-2+3.png",
)
SAFE_TAGS = re.compile(r"<(img src=x|q7>|script>alert)")


def unprintable(text: str) -> list[str]:
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The pictures' folder and a run on it, made by the command."""
    root = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for label, level in zip(CLASSES, (60, 190), strict=True):
        (root / "data" / label).mkdir(parents=True)
        for i, name in enumerate(FILES):
            pixels = rng.normal(level, 25, (40, 40, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "data" / label / name, "PNG")
            if i == 0:  # an exact copy with another label, and one that is not a picture
                other = root / "data" / CLASSES[0] / FILES[1]
                other.write_bytes((root / "data" / label / name).read_bytes())
    (root / "data" / CLASSES[1] / "\x1b[2Jbroken<q7>.png").write_bytes(b"no picture")
    save_file(load(ARCH, pretrained=False, seed=1).module.state_dict(), root / "net.safetensors")
    words = ["fit", root / "data", "--weights", root / "net.safetensors", "--arch", ARCH]
    words += ["--resolutions", 32, "--precision", "float32", "--C", "1", "--folds", 2]
    out = root / "runs" / "<q7>\x1b[31mrun"
    assert command([*map(str, words), "--test-size", "0.34", "--out", str(out), "--quiet"]) == 0
    return root / "data", out


def test_terminal__shows_names_escaped(
    hostile: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = hostile
    assert command(["report", str(run)]) == 0
    assert command(["predict", str(run), str(data), "--quiet"]) == 2
    said = capsys.readouterr()
    assert unprintable(said.out + said.err) == []
    assert r"\x1b]0;owned\x07\x1b[31mred.png" in said.out
    assert r"\u202egnp.exe.png" in said.out
    assert command(["predict", str(run), "\x1b[31mnothing\n.png"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert unprintable(line) == []


def test_csv__holds_no_formula_and_one_line_a_row(
    hostile: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = hostile
    assert command(["predict", str(run), str(data), "--csv"]) == 2
    printed = capsys.readouterr().out
    kept = (run / "predictions.csv").read_text(encoding="utf-8")
    for text in (printed, kept):
        assert unprintable(text) == []
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) == len(text.splitlines())
        cells = [cell for row in rows for cell in row]
        assert not [c for c in cells if c[:1] in "=+-@\t\r" and c and not _is_number(c)]
        assert any(c.startswith("'=cmd") for c in cells)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), ("\t=1", r"'\x09=1"),
        ("\r=1", r"'\x0d=1"), ("\n=1", r"'\x0a=1"), ("＝1", "'＝1"), ("plain", "plain"), ("a,b", '"a,b"'),
        ("\x1b[31m", r"\x1b[31m"), ("\u202e", r"\u202e"), ('"=1"', '"""=1"""'), ("é", "é"),
        (r"C:\new", r"C:\new"), (r"\alpha", r"\alpha"), (r"\\x41", r"\\\\x41"), ("'=1", "''=1"), ("it's", "it's"),
    ],
)  # fmt: skip
def test_csv_text__each_dangerous_beginning(cell: str, written: str) -> None:
    assert csv_text((cell,), [(cell,)]) == f"{written}\n{written}\n"


def test_csv_text__numbers_stay_numbers() -> None:
    assert csv_text(("a",), [(-1.5,)]) == "a\n-1.5\n"


def test_json__is_whole_and_harmless_to_look_at(
    hostile: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = hostile
    assert command(["predict", str(run), str(data), "--json"]) == 2
    text = capsys.readouterr().out
    assert unprintable(text) == []
    found = json.loads(text)
    assert {Path(p["name"]).name for p in found} >= set(FILES[:2])
    assert {p["label"] for p in found} <= {*CLASSES, None}
    assert command(["report", str(run), "--json"]) == 0
    text = capsys.readouterr().out
    assert unprintable(text) == []
    assert json.loads(text) == json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def test_report__holds_names_as_text_alone(hostile: tuple[Path, Path]) -> None:
    page = (hostile[1] / "report.html").read_text(encoding="utf-8")
    assert SAFE_TAGS.findall(page) == []
    assert unprintable(page.replace("\t", "")) == []
    assert html.escape(CLASSES[0]) in page or CLASSES[0].replace("'", "&#39;") in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "49" not in re.findall(r"\{\{7\*7\}\}|\b49\[bold\]", page), "a template was run"


def test_serve__answers_names_as_json_that_no_browser_takes_for_a_page(
    hostile: tuple[Path, Path],
) -> None:
    import asyncio

    import headstart
    from headstart.runs.predictor import Predictor
    from headstart.serve.app import Service, make_app
    from headstart.serve.settings import ServeSettings

    data, folder = hostile
    settings = ServeSettings()
    service = Service(folder.name, Predictor(headstart.load(folder).model), settings)
    picture = (data / CLASSES[0] / FILES[0]).read_bytes()
    name = "<script>alert(1)</script>\u202e.png"
    body = (
        f'--x\r\nContent-Disposition: form-data; name="i"; filename="{name}"\r\n\r\n'.encode()
        + picture
        + b"\r\n--x--\r\n"
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {"host": "localhost", "content-type": "multipart/form-data; boundary=x"}
    scope = {
        "type": "http", "method": "POST", "path": "/predict", "query_string": b"", "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()], "http_version": "1.1",
        "scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    app: Any = make_app(service)
    asyncio.run(app(scope, receive, send))
    service.close()
    assert sent[0]["status"] == 200
    answered = dict(sent[0]["headers"])
    assert answered[b"content-type"] == b"application/json"
    assert answered[b"x-content-type-options"] == b"nosniff"
    [found] = json.loads(b"".join(m.get("body", b"") for m in sent))["predictions"]
    assert found["name"] == name
    assert found["label"] in CLASSES


def test_web__shows_names_as_text_alone(hostile: tuple[Path, Path]) -> None:
    pytest.importorskip("gradio", reason="the extra web is not installed")
    from headstart.data import index
    from headstart.web import html as page

    shown = str(page.data_view(index(hostile[0])))
    assert SAFE_TAGS.findall(shown) == []
    assert unprintable(shown) == []
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_columns__of_a_table_are_escaped_in_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "a.csv"
    table.write_text('\x1b[31mone,"\u202etwo"\nx y z,b\n', encoding="utf-8")
    assert command(["fit", str(table), "--text", "\x1b[2J"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert unprintable(line) == []
    assert r"\x1b[31mone" in line
