"""Runs side by side: differences only on the same test images, equal to the plain formula."""

from __future__ import annotations

import csv
import html
import json
from pathlib import Path

import pytest

from headstart import fit
from headstart.errors import InputError, RunError
from headstart.runs.report.side_by_side import comparison_page, write_comparison
from headstart.runs.run import Run
from headstart.runs.side_by_side import sentence, side_by_side


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
    first, second = side_by_side([run, other])
    assert first.against is None
    assert second.against is not None
    assert second.against.value == pytest.approx(_accuracy(other) - _accuracy(run))
    rows = [entry.to_dict() for entry in (first, second)]
    assert [row["name"] for row in rows] == ["shapes", "small"]
    assert rows[1]["test"][0] == pytest.approx(_accuracy(other))
    assert sentence(rows).startswith("On the same ")
    found, page = write_comparison([run, other], tmp_path)
    assert found["sentence"] == sentence(rows)
    assert json.loads((tmp_path / "side-by-side.json").read_text(encoding="utf-8")) == found
    assert found["sentence"] in html.unescape(page.read_text(encoding="utf-8"))


def test_side_by_side__gives_no_difference_of_other_images(run: Run, elsewhere: Run) -> None:
    rows = [entry.to_dict() for entry in side_by_side([run, elsewhere])]
    assert rows[1]["difference"] is None
    assert "not tested on the same images" in sentence(rows)


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
