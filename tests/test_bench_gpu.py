"""The GPU bench: what it does with failures, and all of it once on tiny inputs on the CPU."""

from __future__ import annotations

import faulthandler
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the benches are not installed

from bench import gpu
from bench.gpu import Row, collect, write_section

ROW = Row(what="decode", ours=30.0, unit="images/s", against="DataLoader", other=10.0)


def test_row__ratio_is_above_one_where_we_are_faster() -> None:
    assert ROW.ratio == 3.0
    assert Row(what="fit", ours=2.0, unit="s", against="CPU", other=6.0).ratio == 3.0
    assert Row(what="fit", ours=2.0, unit="s").ratio is None


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_collect__keeps_the_rows_of_a_part_that_fails_later() -> None:
    said = "row " + gpu.json.dumps(gpu.asdict(ROW))
    text = f"print({said!r}, flush=True); print('chatter'); raise MemoryError('of the card')"
    assert list(collect("decode", program(text), 60)) == [
        ROW,
        "decode: failed after 0 s: MemoryError: of the card",
    ]


def test_collect__ends_a_part_that_hangs_and_its_workers() -> None:
    worker = "import time; time.sleep(60)"  # which would hold the output open
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    started = time.monotonic()
    [line] = collect("fit", program(text), 0.5)
    assert line == "fit: not done after 0 s"
    assert time.monotonic() - started < 30


def test_run_part__says_where_it_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def hangs(*_: object) -> list[Row]:
        time.sleep(0.4)
        return [ROW]

    monkeypatch.setitem(gpu.PARTS, "fit", hangs)
    gpu.run_part("fit", gpu.Scale.of("cpu", quick=True), tmp_path, 0.1)
    faulthandler.cancel_dump_traceback_later()
    said = capfd.readouterr()
    assert "in hangs" in said.err
    assert said.out.startswith("row {")


def test_write_section__replaces_what_is_between_the_marks() -> None:
    text = gpu.section([ROW], ["heads: failed"], "cpu", 12.0)
    page = f"before\n{gpu.BEGIN}\nold\n{gpu.END}\nafter\n"
    written = write_section(page, text)
    assert "old" not in written
    assert "| decode | 30 images/s | DataLoader: 10 images/s | 3.00x |" in written
    assert "heads: failed" in written
    assert write_section(written, text) == written
    with pytest.raises(ValueError, match="lacks the marks"):
        write_section("a page", text)


def test_page__has_the_marks() -> None:
    page = gpu.PAGE.read_text("utf-8")
    assert write_section(page, f"{gpu.BEGIN}{gpu.END}") != ""


def test_main__without_a_gpu_names_the_trial(capsys: pytest.CaptureFixture[str]) -> None:
    if gpu.has_gpu():
        pytest.skip("there is a GPU here")
    with pytest.raises(SystemExit) as caught:
        gpu.main([])
    assert caught.value.code == 2
    assert "--device cpu" in capsys.readouterr().err


def test_main__names_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "NEEDED", ("torch", "no_such_package"))
    monkeypatch.setattr(gpu, "collect", lambda *_: iter(["heads: failed"]))
    assert gpu.main(["--device", "cpu", "--quick", "--only", "heads"]) == 1
    assert "not installed, so that parts will fail: no_such_package" in capsys.readouterr().out


def test_main__no_part_takes_the_time_of_those_to_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limits = []
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    monkeypatch.setattr(gpu, "write_images", lambda *_: [])
    monkeypatch.setattr(gpu, "TOTAL_S", 70.0)

    def collect(name: str, command: list[str], limit_s: float) -> list[str]:
        limits.append(limit_s)
        return []

    monkeypatch.setattr(gpu, "collect", collect)
    assert gpu.main(["--only", "extraction", "heads", "fit"]) == 0
    assert len(limits) == 3
    assert all(1 <= limit <= 70 for limit in limits)
    assert limits[0] <= 30 < limits[1] <= 50 < limits[2]  # the last ones have time kept for them


def test_main__writes_a_page_after_each_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{gpu.BEGIN}\n{gpu.END}\n", "utf-8")
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    monkeypatch.setattr(gpu, "device_name", lambda _: "a card")
    monkeypatch.setattr(gpu, "write_images", lambda *_: [])
    seen = []

    def collect(name: str, command: list[str], limit_s: float) -> list[object]:
        seen.append(page.read_text("utf-8"))
        return [ROW] if name == "decode" else ["heads: failed after 1 s: no"]

    monkeypatch.setattr(gpu, "collect", collect)
    assert gpu.main(["--only", "decode", "heads", "--page", str(page)]) == 1
    assert "30 images/s" in seen[1]
    assert "**Failed**: heads: failed after 1 s: no" in page.read_text("utf-8")


def test_main__refuses_a_page_without_marks_before_it_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text("nothing", "utf-8")
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    monkeypatch.setattr(gpu, "write_images", lambda *_: pytest.fail("it measures"))
    for name in ("page.md", "absent.md"):
        with pytest.raises(SystemExit):
            gpu.main(["--page", str(tmp_path / name)])
        assert name in capsys.readouterr().err


def test_main__starts_no_part_when_time_is_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    monkeypatch.setattr(gpu, "write_images", lambda *_: [])
    monkeypatch.setattr(gpu, "TOTAL_S", 0.0)
    monkeypatch.setattr(gpu, "collect", lambda *_: pytest.fail("a part was started"))
    assert gpu.main(["--only", "heads", "fit"]) == 1
    assert "heads: not started: time was up" in capsys.readouterr().out


@pytest.mark.slow
def test_main__tries_every_part_on_tiny_inputs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = gpu.PAGE.read_bytes()
    assert gpu.main(["--device", "cpu", "--quick"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    for what in ("decode", "forward", "extract", "epochs", "SVM path", "fit"):
        assert what in said
    assert gpu.PAGE.read_bytes() == before
