"""The benches' harness: order, medians, checks, results and the page. Nothing here is timed."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import extraction, forward, harness, images, machine, page, results, run, textcnn
from bench import memory as memory_bench
from bench import outofcore as outofcore_bench
from bench.frozen_head import compare_accuracy
from bench.harness import Row, SideError, Skipped, compared, interleaved, seconds_row
from bench.results import Outcome
from bench.sides.forward import steady
from bench.sides.networks import fresh_store
from bench.sides.texts import read_table
from bench.whole_question import read_predictions

ROOT = harness.ROOT
HERE = {
    "cpu": "a CPU",
    "cores": 2,
    "flags": ["avx2"],
    "memory_gib": 8.0,
    "system": "Linux",
    "python": "3.11",
    "packages": {"torch": "2"},
}


def outcome(bench: str, *rows: Row, **fields: Any) -> Outcome:
    """An outcome measured here."""
    settings: dict[str, Any] = {"title": bench.title(), "peer": "a peer", "machine": HERE}
    settings |= {"date": "2020-01-02", "seconds": 3.0, **fields}
    return Outcome(bench=bench, rows=rows, **settings)


def test_interleaved__takes_turns() -> None:
    calls: list[str] = []
    sides = {name: lambda name=name: calls.append(name) or len(calls) for name in "AB"}
    assert interleaved(sides, 3) == {"A": [1, 3, 5], "B": [2, 4, 6]}
    assert calls == list("ABABAB")


def test_compared__takes_the_median_of_neighbouring_ratios() -> None:
    row = compared("x", [1.0, 2.0, 4.0], [3.0, 4.0, 40.0])
    assert (row.ratio, row.low, row.high) == (3.0, 2.0, 10.0)
    assert (row.ours_s, row.peer_s, row.better) == (2.0, 4.0, "higher")


def test_compared__inverse_is_ours_over_the_peer() -> None:
    row = compared("x", [3.0, 4.0, 40.0], [1.0, 2.0, 4.0], inverse=True)
    assert (row.ratio, row.low, row.high, row.better) == (3.0, 2.0, 10.0, "lower")


def test_compared__refuses_unequal_numbers_of_measurements() -> None:
    with pytest.raises(ValueError):
        compared("x", [1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("better", "ratio", "is_met"),
    [("higher", 5.0, True), ("higher", 4.9, False), ("lower", 5.0, True), ("lower", 5.1, False)],
)
def test_row__meets_its_target_from_the_right_side(better: Any, ratio: float, is_met: bool) -> None:
    assert Row(name="x", ratio=ratio, target=5.0, better=better).is_met is is_met


def test_row__without_target_is_neither_met_nor_missed() -> None:
    assert seconds_row("x", [3.0, 1.0, 2.0]).is_met is None


def test_side__that_fails_says_why() -> None:
    with pytest.raises(SideError, match=r"^no_such_side ended with code 1: KeyError: ") as caught:
        harness.Side("no_such_side")
    assert "Traceback" in caught.value.__notes__[0]


def test_side__that_hangs_is_ended() -> None:
    with pytest.raises(SideError, match=r"gave no answer within 0.001 s"):
        harness.Side("write_weights", limit_s=0.001, net="embedded", path="nowhere")


def test_clean_environment__drops_the_callers_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = harness.clean_environment(HEADSTART_CACHE="here")
    assert "OMP_NUM_THREADS" not in found
    assert found["HEADSTART_CACHE"] == "here"


def test_run_command__failure_has_the_commands_own_words() -> None:
    with pytest.raises(SideError, match="it broke"):
        harness.run_command([sys.executable, "-c", "raise SystemExit('it broke')"])


def test_steady__gives_every_worker_the_same_work() -> None:
    done: list[int] = []
    measure = steady(lambda: done.append(1), batch_size=8, n_workers=2, window_s=0.0)
    before = len(done)
    assert set(measure()) == {"seconds"}
    assert len(done) - before == 2


def test_fresh_store__knows_the_conversions_and_no_features(tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "net").write_text("kept")
    with fresh_store(str(tmp_path)) as store:
        assert (store / "engines" / "net").read_text() == "kept"
        (store / "features").mkdir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["engines"]
    assert (tmp_path / "engines" / "net").exists()


def test_make_images__are_the_same_again_and_all_different(tmp_path: Path) -> None:
    first = images.make_images(tmp_path / "a", 6, size=(40, 30), n_classes=3)
    again = images.make_images(tmp_path / "b", 6, size=(40, 30), n_classes=3)
    contents = [path.read_bytes() for path in first]
    assert contents == [path.read_bytes() for path in again]
    assert len(set(contents)) == 6
    records = images.read_records(tmp_path / "a")
    assert [r.label for r in records] == [
        "class0",
        "class0",
        "class1",
        "class1",
        "class2",
        "class2",
    ]
    assert {(r.width, r.height) for r in records} == {(40, 30)}


def test_split__is_read_as_it_was_written(tmp_path: Path) -> None:
    sides = {"train": ["a/1.jpg", "a/2,x.jpg"], "test": ["b/1.jpg"]}
    assert images.read_split(images.write_split(tmp_path / "split.csv", sides)) == sides


def test_some_of_each_class__takes_the_first() -> None:
    assert images.some_of_each_class(["a/1", "b/1", "a/2", "a/3"], 2) == ["a/1", "b/1", "a/2"]


def test_differences__are_relative_to_the_centred_features(tmp_path: Path) -> None:
    theirs = np.array([[100.0, 0.0], [102.0, 0.0]])
    np.save(tmp_path / "layer.1.npy", theirs)
    moved = theirs + np.array([[0.0, 0.1], [0.0, 0.0]])
    np.savez(tmp_path / "ours.npz", **{"layer.1": moved})
    found = extraction.differences(tmp_path / "ours.npz", tmp_path)
    assert found == {"layer.1": pytest.approx(0.1 / 2**0.5)}


def test_compare_accuracy__tells_noise_from_worse() -> None:
    labels = ["a"] * 100
    wrong_once = ["b"] + ["a"] * 99
    wrong_often = ["b"] * 20 + ["a"] * 80
    assert compare_accuracy(labels, wrong_once, labels)[0]
    assert compare_accuracy(labels, labels, wrong_often)[0]
    ok, text = compare_accuracy(labels, wrong_often, labels)
    assert not ok
    assert "80.0 against 100.0 % on 100: WORSE" in text


def test_read_predictions__by_name(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("name,label,predicted,p(a)\nx/1.jpg,x,y,0.5\n")
    assert read_predictions(path) == {"x/1.jpg": ("x", "y")}


def test_installed__always_has_the_reference() -> None:
    for precision in ("float32", "bfloat16"):
        assert forward.installed(precision, full=False)[0] == forward.REFERENCE
    assert "torch.compile bf16" in forward.installed("bfloat16", full=True)


def test_describe__is_like_itself_and_names_no_machine() -> None:
    found = machine.describe()
    assert machine.is_same(found, json.loads(json.dumps(found)))
    assert not machine.is_same(found, {**found, "cores": found["cores"] + 1})
    assert set(found) == set(HERE)


def test_outcome__survives_the_disk(tmp_path: Path) -> None:
    row = Row(name="x", ratio=1.5, low=1.0, high=2.0, note="n")
    whole, part = outcome("memory", row, load=0.5), outcome("forward", row, part="vgg16")
    assert results.save(whole, tmp_path).name == "memory.json"
    assert results.save(part, tmp_path).name == "forward-vgg16.json"
    assert results.load(tmp_path, HERE) == {"memory": whole, "forward:vgg16": part}


def test_load__leaves_other_machines_out(tmp_path: Path) -> None:
    results.save(outcome("memory", machine={**HERE, "cpu": "another"}), tmp_path)
    assert results.load(tmp_path, HERE) == {}


def test_merged__replaces_what_was_measured_again_and_keeps_the_order() -> None:
    kept = {name: outcome(name, Row(name="old", ratio=1.0)) for name in ("svm", "memory")}
    new = [outcome("memory", Row(name="new", ratio=2.0)), outcome("startup")]
    found = results.merged(kept, new, run.UNITS)
    assert [o.bench for o in found] == ["startup", "memory", "svm"]
    assert [row.name for o in found for row in o.rows] == ["new", "old"]


def test_replace_generated__keeps_what_was_written_by_hand() -> None:
    text = f"before | ü\n{page.BEGIN}\nold\n{page.END}\n\n## Why\nby hand\n"
    once = page.replace_generated(text, "new")
    assert once == f"before | ü\n{page.BEGIN}\n\nnew\n\n{page.END}\n\n## Why\nby hand\n"
    assert page.replace_generated(once, "new") == once


@pytest.mark.parametrize(
    "text", ["none", f"{page.END}{page.BEGIN}", f"{page.BEGIN}{page.END}{page.END}"]
)
def test_replace_generated__refuses_a_page_without_its_markers(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        page.replace_generated(text, "new")


def test_write_page__makes_a_page_and_then_changes_only_its_part(tmp_path: Path) -> None:
    path = tmp_path / "performance.md"
    page.write_page(path, [outcome("memory", Row(name="first", ratio=1.0))], HERE, "make bench")
    text = path.read_text().replace("Nothing is written here yet.", "Because of **this**.")
    path.write_text(text)
    page.write_page(path, [outcome("memory", Row(name="second", ratio=1.0))], HERE, "make bench")
    assert path.read_text() == text.replace("| first |", "| second |")


def test_markdown__lists_targets_missed_and_breaks_no_table() -> None:
    slow = Row(name="a|b", ratio=2.0, target=5.0, low=1.5, high=2.5, check="same", note="slow")
    quick = Row(name="help", ratio=0.2, target=0.5, better="lower", unit="s", ours_s=0.2)
    text = page.markdown([outcome("memory", slow, quick)], HERE, "make bench")
    assert "1 of 2 met. Missed: a|b (2.00x, target at least 5x)" in text
    assert r"| a\|b | at least 5x | 2.00x | 1.50x to 2.50x |  |  | **no** | same |" in text
    assert "| help | at most 0.5 s | 0.20 s |  | 0.2 s |  | yes |  |" in text
    assert "a CPU, 2 cores, 8 GiB" in text


def test_markdown__says_what_was_skipped_or_failed() -> None:
    found = [outcome("memory", skipped="no images"), outcome("svm", failed="Error: x")]
    text = page.markdown(found, HERE, "make bench")
    assert "- memory: not measured here: no images" in text
    assert "- svm **failed**: Error: x" in text


def test_markdown__has_one_table_for_all_parts_of_a_bench() -> None:
    parts = [outcome("forward", Row(name=p, ratio=1.0), part=p) for p in ("embedded", "vgg16")]
    text = page.markdown(parts, HERE, "make bench")
    assert text.count("### Forward") == text.count("| what |") == 1
    assert text.index("| embedded |") < text.index("| vgg16 |") < text.index("- forward:vgg16: ")


def test_units__are_whole_benches_and_parts_in_order() -> None:
    assert run.units(None, quick=False) == list(run.UNITS)
    assert run.units(["resolutions", "forward:vgg16"], quick=False) == [
        "forward:vgg16",
        "resolutions:float32",
        "resolutions:bfloat16",
    ]
    assert run.units(["forward", "svm"], quick=True) == ["forward:embedded", "svm"]


def test_parts__are_those_that_the_benches_have() -> None:
    assert run.PARTS["extraction"] == tuple(case.net for case in extraction.FULL)
    assert run.PARTS["extraction"][0] == extraction.QUICK[0].net
    assert run.PARTS["forward"] == forward.NETS


def test_cells__mark_a_row_whose_sides_disagree() -> None:
    assert page.cells(Row(name="x", ratio=9.0, ok=False, check="off by 3"))[-1] == (
        "**DIFFERS**: off by 3"
    )


@pytest.mark.parametrize(("ok", "target"), [("ok: +1e-06", 10.0), ("FAILED: +1e-02", 10.0)])
def test_svm_row__takes_the_dictionary_over(ok: str, target: float) -> None:
    found = {
        "name": "path of 10 C x 5 folds, n=1500, d=1280, 15 classes",
        "ours_s": 1.0,
        "peer_s": 12.0,
        "ratio": 12.0,
        "spread": 0.25,
        "check": ok,
        "peer": "LinearSVC(dual=False)",
    }
    row = run.svm_row(found, quick=False)
    assert (row.target, row.ok, row.low) == (target, ok.startswith("ok"), None)
    assert row.note == "spread of the ratio 25%; LinearSVC(dual=False)"
    assert run.svm_row(found, quick=True).target is None


def test_measure__one_bench_that_breaks_does_not_stop_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(quick: bool) -> list[Row]:
        raise SideError("the side died", "of this")

    def absent(quick: bool) -> list[Row]:
        raise Skipped("no data")

    monkeypatch.setattr(memory_bench, "run", broken)
    found = run.measure("memory", True, HERE)
    assert (found.failed, found.is_sound) == ("SideError: the side died: of this", False)
    assert "the side died" in capsys.readouterr().err
    monkeypatch.setattr(memory_bench, "run", absent)
    found = run.measure("memory", True, HERE)
    assert (found.skipped, found.rows, found.is_sound) == ("no data", (), True)


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The calls of a stand-in for the memory bench; results and page go to a folder of the test."""
    calls: list[bool] = []

    def stand_in(quick: bool) -> list[Row]:
        calls.append(quick)
        return [Row(name=f"call {len(calls)}", ratio=1.0, ok=len(calls) < 3)]

    monkeypatch.setattr(memory_bench, "run", stand_in)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", tmp_path / "docs" / "performance.md")
    return calls


def test_main__measures_keeps_and_resumes(
    counted: list[bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--only", "memory"]) == 0
    assert "| call 1 |" in page.PAGE.read_text()
    assert run.main(["--only", "memory", "--resume"]) == 0
    assert counted == [False]
    assert run.main(["--only", "memory"]) == 0
    assert "| call 2 |" in page.PAGE.read_text()
    assert "call 2" in capsys.readouterr().out


def test_main__exits_with_1_where_sides_disagree_and_measures_that_again(
    counted: list[bool],
) -> None:
    codes = [run.main(["--only", "memory"]) for _ in range(3)]
    assert codes == [0, 0, 1]
    assert run.main(["--only", "memory", "--resume"]) == 1
    assert len(counted) == 4


def test_main__quick_leaves_the_page_alone(counted: list[bool], tmp_path: Path) -> None:
    assert run.main(["--quick", "--only", "memory"]) == 0
    assert not page.PAGE.exists()
    assert (tmp_path / "results" / "quick" / "performance.md").exists()
    assert (tmp_path / "results" / "quick" / "memory.json").exists()


def test_page__of_this_project_can_be_written() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert "x" in page.replace_generated(text, "x")


@pytest.mark.parametrize("variant", textcnn.VARIANTS)
def test_textcnn_plain__computes_what_ours_does(variant: str) -> None:
    from bench.peers.textcnn_plain import TextCNN as Plain

    from headstart.text import TextCNN

    vectors = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    vectors[0] = 0
    ours = TextCNN(9, 6, 3, variant=variant, vectors=vectors).eval()
    plain = Plain(torch.from_numpy(vectors), 3, variant).eval()
    # Both have word vectors, maps by width, and the output layer, in this order.
    names = list(plain.state_dict())
    values = list(ours.state_dict().values())
    plain.load_state_dict(dict(zip(names, values, strict=True)))
    # Of one length: to the plain network padding is a word like others.
    tokens = torch.randint(1, 9, (4, 7), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(tokens), plain(tokens))


def test_textcnn_table__every_text_has_a_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two small packages: those of the bench take long to read.
    small = functools.partial(textcnn.write_docstrings, packages=("jinja2", "rich"))
    monkeypatch.setattr(textcnn, "write_docstrings", small)
    table = textcnn.write_table(tmp_path / "texts.csv", 10)
    rows = read_table(table)
    assert sorted({label for _, label, _ in rows}) == ["jinja2", "rich"]
    assert [split for *_, split in rows].count("test") == 4 == len(textcnn.labels_of_test(table))


def test_outofcore_rows__compare_seconds_memory_and_answers() -> None:
    same = {"gap": 1e-6, "accuracy": [0.5, 0.75], "coef": [[1.0, 2.0]]}
    found: dict[tuple[int, bool], dict[str, Any]] = {
        (10, True): {"seconds": 1.0, "peak_mib": 20.0, **same},
        (10, False): {"seconds": 1.0, "peak_mib": 80.0, **same},
        (40, True): {"seconds": 9.0, "peak_mib": 30.0, **same},
        (40, False): {"seconds": 3.0, "peak_mib": 300.0, **same},
    }
    made = outofcore_bench.rows(found, (10, 40), 100, quick=False)
    assert [row.ratio for row in made] == [3.0, pytest.approx(0.1), 1.5]
    assert all(row.ok for row in made)
    assert made[-1].is_met
    assert "held 40: 300 MiB" in made[1].note
    found[40, True]["coef"] = [[1.0, 2.1]]
    assert not any(row.ok for row in outofcore_bench.rows(found, (10, 40), 100, quick=False))
    found[40, True] |= {"coef": [[1.0, 2.0]], "gap": 1e-3}
    assert not any(row.ok for row in outofcore_bench.rows(found, (10, 40), 100, quick=False))
