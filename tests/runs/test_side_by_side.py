"""Runs side by side: differences only on the same test images, equal to the plain formula."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from headstart import fit
from headstart.cli.fit import first_answer
from headstart.errors import InputError, RunError
from headstart.heads import paired_gain
from headstart.heads.accuracy import share_interval
from headstart.results import decode, encode
from headstart.runs.measure import unwatched
from headstart.runs.report.side_by_side import comparison_page, comparison_sections
from headstart.runs.run import Run
from headstart.runs.side_by_side import ComparedRuns, detail, sentence, side_by_side


@pytest.fixture(scope="module")
def other(shapes: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same images and split, one small resolution."""
    out = tmp_path_factory.mktemp("other") / "small"
    return fit(shapes, out=out, cache=store, resolutions=(64,), seed=3, Cs=(0.1,))


@pytest.fixture(scope="module")
def elsewhere(shapes: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same images, another split."""
    out = tmp_path_factory.mktemp("other") / "split"
    return fit(shapes, out=out, cache=store, resolutions=(64,), seed=4, Cs=(0.1,))


def _accuracy(run: Run) -> float:
    text = (run.folder / "predictions.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return sum(r["label"] == r["predicted"] for r in rows) / len(rows)


def test_side_by_side__is_paired_on_the_same_images(run: Run, other: Run, tmp_path: Path) -> None:
    found = side_by_side([run, other])
    assert found._repr_html_().count("<svg") == 1
    first, second = found.runs
    assert first.difference is None
    assert second.difference is not None
    assert second.difference.value == pytest.approx(_accuracy(other) - _accuracy(run))
    assert [first.name, second.name] == ["shapes", "small"]
    assert second.test is not None
    assert second.test.value == pytest.approx(_accuracy(other))
    assert found.sentence.startswith("On the same ")
    assert found.sentence in html.unescape(comparison_page(found))
    assert decode(encode(found), ComparedRuns) == found


def test_side_by_side__gives_no_difference_of_other_images(run: Run, elsewhere: Run) -> None:
    found = side_by_side([run, elsewhere])
    assert found.runs[1].difference is None
    assert "not tested on the same images" in found.sentence


def test_side_by_side__speaks_of_texts(run: Run, other: Run) -> None:
    found = side_by_side([run, other])
    texts = [msgspec.structs.replace(row, noun="text") for row in found.runs]
    unlike = [texts[0], msgspec.structs.replace(texts[1], difference=None, test=None)]
    for rows in (texts, unlike):
        shown = [f"{s.caption} {s.table}" for s in comparison_sections(rows)]
        for said in (sentence(rows), detail(rows), *shown):
            assert "image" not in said
        assert "texts" in sentence(rows)
    mixed = [found.runs[0], unlike[1]]
    assert "not tested on the same examples" in sentence(mixed)
    assert found.runs[0].noun == "image"


def test_comparison_page__is_whole_and_loads_nothing(run: Run, other: Run, elsewhere: Run) -> None:
    page = comparison_page(side_by_side([run, other, elsewhere]))
    assert page.count("<figure>") == 2
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_side_by_side__bad_input(run: Run, other: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two or more different runs"):
        side_by_side([run])
    with pytest.raises(InputError, match="two or more different runs"):
        side_by_side([run, Run(run.folder)])
    import shutil

    shutil.copytree(other.folder, tmp_path / "damaged")
    (tmp_path / "damaged" / "predictions.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        side_by_side([run, Run(tmp_path / "damaged")])


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Run], list[str]]:
    """A table of texts by 40 authors, two runs on it, and the first answer of the first."""
    folder = tmp_path_factory.mktemp("grouped")
    table = folder / "texts.csv"
    rng, words = np.random.default_rng(0), ("good", "bad", "dull", "fine")
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "author"])
        for author in range(40):
            habit = words[rng.integers(4)]
            for k in range(5):
                rows.writerow([f"{habit} film {author} {k}", str(author % 2), f"a{author}"])
    said: list[str] = []
    runs = [
        fit(
            table, text="text", label="label", group_column="author", out=folder / name,
            cache=folder / "cache", n_folds=3, Cs=Cs, test_size=0.5, watch=watch,
        )
        for name, Cs, watch in (
            ("strong", (10.0,), first_answer(said.append)), ("weak", (1e-3,), unwatched)
        )
    ]  # fmt: skip
    return table, runs, said


@pytest.mark.slow
def test_side_by_side__of_groups_speaks_of_new_groups(
    grouped: tuple[Path, list[Run], list[str]],
) -> None:
    _, (first, second), _ = grouped
    a, b = first.test_predictions(), second.test_predictions()
    groups = [(int(p.name.removeprefix("line ")) - 2) // 5 for p in a]
    found = side_by_side([first, second]).runs[1].difference
    assert found is not None
    there, here = (np.array([p.predicted == p.label for p in some]) for some in (a, b))
    assert list(found) == pytest.approx(list(paired_gain(here, there, groups=groups)))
    assert list(found) != pytest.approx(list(paired_gain(here, there)))


def test_first_answer__speaks_of_new_groups(grouped: tuple[Path, list[Run], list[str]]) -> None:
    [said] = grouped[2]
    value, low, high = (float(v) / 100 for v in re.findall(r"\d+\.\d", said)[:3])
    alone = share_interval(value, 100, 0.95)
    assert high - low > 1.5 * (alone.high - alone.low)
    assert re.search(r"; \d+ more candidates? to try", said)


def test_side_by_side__says_where_groups_cannot_be_read(
    grouped: tuple[Path, list[Run], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    table, runs, _ = grouped
    away = table.rename(table.with_suffix(".away"))
    try:
        assert side_by_side(runs).runs[1].difference is not None
    finally:
        away.rename(table)
    assert "its groups cannot be read" in caplog.text
