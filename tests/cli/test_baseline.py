"""``headstart baseline``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SMALL = ("--patches", "16", "--words", "4", "--levels", "2", "--gaussians", "4", "--step", "4")


def test_baseline_sift__writes_the_table_and_the_page(
    headstart, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    said = headstart("baseline", "sift", photos, *SMALL, "--size", 64, "--out", out)
    assert said.code == 0, said
    assert "SIFT, spatial pyramid" in " ".join(said.out.split())
    assert "page " in said.out
    page = (out / "sift.html").read_text(encoding="utf-8")
    for part in ("On the test images", "Against embedded, frozen features", "4 words, soft"):
        assert part in page
    found = json.loads((out / "sift.json").read_text(encoding="utf-8"))
    assert found["settings"]["patches_px"] == [16]
    assert [row["kind"] for row in found["methods"]] == ["pixels", *["sift"] * 3, "network"]


def test_baseline_pixels__needs_no_network(headstart, photos: Path, tmp_path: Path) -> None:
    said = headstart(
        "baseline", "pixels", photos, "--backbone", "none", "--out", tmp_path / "p", "--json"
    )
    found = json.loads(said.out)
    assert [row["kind"] for row in found["methods"]] == ["pixels"]
    assert found["backbone"] is None
    assert "McNemar" not in found["sentence"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--words", "many"], "--words takes whole numbers"),
        (["--words", "100000"], "a vocabulary of 100000 words needs 1,000,000 descriptors"),
        (["--patches", "64"], "needs 4,000 descriptors or more; the training images give 0"),
        (["--patches", "2"], "--patches must be a list, each a whole number of at least 8"),
        (["--backbone", "vgg61"], "unknown backbone"),
    ],
)
def test_baseline_sift__says_bad_input_in_one_line(
    fails, photos: Path, tmp_path: Path, words: list, said: str
) -> None:
    assert said in fails("--quiet", "baseline", "sift", photos, *words, "--out", tmp_path / "none")
