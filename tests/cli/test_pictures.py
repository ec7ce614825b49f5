"""Images by URL and on standard input."""

from __future__ import annotations

import functools
import http.server
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart.cli.options import complete_run
from headstart.cli.pictures import predict_pictures
from headstart.errors import DataError
from headstart.runs.predictions import Prediction


@pytest.fixture(scope="module")
def site(finished: tuple[Path, Path]) -> Iterator[str]:
    """The images of the run behind HTTP."""
    handler = functools.partial(QuietHandler, directory=str(finished[0]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def give_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, *, is_terminal: bool = False) -> None:
    stream = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setattr(sys, "stdin", stream)


def test_predict__urls_and_standard_input_beside_files(
    headstart: Callable[..., Any],
    finished: tuple[Path, Path],
    site: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, run = finished
    give_stdin(monkeypatch, (data / "bright" / "0.png").read_bytes())
    gone, local = f"{site}/dark/none.png", (data / "dark" / "0.png").as_uri()
    given = (f"{site}/dark/0.png", gone, data / "dark" / "0.png", "-", local, "nope://x/1.png")
    said = headstart("predict", run, *given, "--json")
    answers = json.loads(said.out)
    names = [str(g) if g != "-" else "standard input" for g in given]
    assert [a["name"] for a in answers] == names
    here = answers[2]["top"]
    for other in (answers[0], answers[4]):
        assert [t["label"] for t in other["top"]] == [t["label"] for t in here]
        assert other["top"][0]["probability"] == pytest.approx(here[0]["probability"], abs=1e-4)
    assert answers[3]["label"] == "bright"
    assert answers[1]["error"] == "cannot fetch it: status 404 (File not found)"
    assert answers[5]["error"].startswith("cannot fetch it: ")
    assert said.code == 2
    assert said.err.splitlines()[-1] == "headstart: files that could not be read: 2"


def test_predict_pictures__urls_are_fetched_when_their_turn_comes(
    finished: tuple[Path, Path], site: str
) -> None:
    good, gone = f"{site}/dark/0.png", "http://127.0.0.1:1/gone.png"

    def predict(sources: list[Any]) -> Iterator[Prediction]:
        first, second = sources
        assert first.content == (finished[0] / "dark" / "0.png").read_bytes()
        yield Prediction(name=first.name)
        with pytest.raises(DataError, match="cannot fetch it"):
            _ = second.content
        yield Prediction(name=second.name, error="gone")

    found = predict_pictures([good, gone], predict)
    assert [p.name for p in found] == [good, gone]


def test_predict__a_terminal_is_not_waited_for(
    fails: Callable[..., str], finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_stdin(monkeypatch, b"", is_terminal=True)
    assert "reads an image from standard input" in fails("predict", finished[1], "-")


@pytest.mark.parametrize(("data", "says"), [(b"", "empty"), (b"a.png\nb.png\n", "it holds text")])
def test_predict__what_is_not_an_image_on_standard_input(
    headstart: Callable[..., Any],
    finished: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    says: str,
) -> None:
    give_stdin(monkeypatch, data)
    said = headstart("predict", finished[1], "-")
    assert said.code == 2
    [line] = said.out.splitlines()
    assert line.startswith("standard input: ")
    assert "cannot use" not in line
    assert says in line


def write_run(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")


def test_predict__suggests_the_run_that_was_meant(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "textures")
    write_run(tmp_path / "elsewhere" / "dogs")
    (tmp_path / "textures").mkdir()  # the data have the name of the run
    meant = "Did you mean 'runs/textures'?"
    for given in ("textures", "textures/", "texture", "runs/textrues"):
        assert fails("predict", given, "x.png").endswith(meant)
    assert fails("clean", "elsewhere/dog").endswith("Did you mean 'elsewhere/dogs'?")
    assert "Did you mean" not in fails("predict", "zebra", "x.png")


def test_complete_run__lists_runs_here_and_in_the_folder_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "b")
    write_run(tmp_path / "old" / "c")
    (tmp_path / "runs" / "not-a-run").mkdir()
    assert complete_run("") == ["runs/a", "runs/b"]
    assert complete_run("runs/b") == ["runs/b"]
    assert complete_run("old/") == ["old/c"]
    assert complete_run("none/") == []
