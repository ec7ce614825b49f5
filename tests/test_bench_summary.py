"""The summary of evidence: fair selection, honest counting, and cells that are not there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import reference_points, summary, summary_page
from bench.sets import SETS

from headstart.experiments.similarity.references import shipped_points

NAMES = [each.name for each in SETS]


def found(value: float, half: float) -> dict[str, Any]:
    ends = {"value": value, "low": value - half, "high": value + half}
    return ends | {"first": 0.9, "second": 0.9 - value, "n": 100, "note": "", "cpu_s": 1.0}


def test_chosen__selection_is_judged_on_the_other_folds_only() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.random(200) < 0.5 for _ in range(40)]
    task: Any = SimpleNamespace(y=np.zeros(200), folds=np.arange(200) % 5)
    right, picked = summary.Task.chosen(task, noise)
    # The best of forty coins looks good; chosen on other folds it stays a coin.
    assert max(c.mean() for c in noise) > 0.56
    assert right.mean() < 0.56
    assert len(picked) == 5
    clear = [*noise, np.ones(200, dtype=bool)]
    assert summary.Task.chosen(task, clear)[0].all()


def test_cell__the_interval_is_of_new_groups() -> None:
    groups = np.repeat([f"film {i}" for i in range(20)], 20)
    better = np.isin(groups, [f"film {i}" for i in range(5)])
    worse = np.zeros(400, dtype=bool)
    worse[:20] = better[:20]
    images, films = summary.cell(better, worse), summary.cell(better, worse, groups)
    assert films["value"] == images["value"]
    assert films["high"] - films["low"] > 2 * (images["high"] - images["low"])
    assert (images["n_groups"], films["n_groups"]) == (0, 20)
    task: Any = SimpleNamespace(groups=groups, division=(np.arange(200), np.arange(200, 400)))
    # Of a training: the held-out images alone, and their films.
    assert summary.Task.cell(task, better[200:], worse[200:])["n_groups"] == 10


def test_summary__cells_of_sets_with_groups_are_of_groups() -> None:
    grouped = [each.name for each in SETS if each.group_by]
    for key, of in summary.read().items():
        if key != "scores":
            assert all(of[name]["n_groups"] >= 10 for name in grouped if name in of)


def test_claim_rows__count_intervals_and_missing_cells() -> None:
    claims = summary.CLAIMS[:2]
    values = dict(zip(NAMES, [(0.1, 0.02), (-0.1, 0.02), (0.01, 0.02)], strict=False))
    cells = {claims[0].key: {n: found(*v) for n, v in values.items()}}
    first, second = summary_page.claim_rows(cells, claims, NAMES)
    assert first[2:6] == ["1", "1", "1", f"3 of {len(SETS)}"]
    assert summary_page.NOT_YET in second
    text = summary_page.page(cells, summary.CLAIMS, SETS)
    assert text.count(summary_page.NOT_YET) > 10
    assert "nan" not in text


def test_unexpected__names_claims_that_failed_or_rarely_held() -> None:
    held, undecided = found(0.1, 0.02), found(0.01, 0.02)
    cells = {
        "pixels": {"steel": held, "trash": held, "textures": found(-0.1, 0.02)},
        "sift": {"steel": held, "trash": undecided},
        "last": {"steel": undecided, "trash": undecided, "textures": held},
    }
    lines = summary_page.unexpected(cells, summary.CLAIMS, SETS)
    claims = [line for line in lines if " sets; " in line]
    assert "2 of 3 sets; the reverse is significant on textures" in claims[0]
    assert "1 of 3 sets; mean" in claims[1]
    # SIFT held on half of its sets.
    assert len(claims) == 2


def test_mean_of__interval_over_sets_from_five_on() -> None:
    assert summary_page.mean_of([0.01, 0.03]) == "+2.0"
    value, low, high = (
        float(v.replace("−", "-"))
        for v in re.findall(r"[+−]\d+\.\d", summary_page.mean_of([0.1, 0.0, 0.2, -0.1, 0.3]))
    )
    assert value == 10
    assert low < value < high
    assert summary_page.mean_of([0.1] * 5) == "+10.0 [+10.0, +10.0]"


def test_learnt__a_rule_of_one_threshold_from_the_other_sets() -> None:
    distances = [0.1, 0.2, 0.3, 1.0, 1.1, 1.2]
    gains = [(0, -0.1)] * 3 + [(0, 0.1)] * 3
    assert summary_page.learnt(distances, gains) == [0, 0, 0, 1, 1, 1]
    # The set that is left out has no say: the only one that is near follows the others.
    assert summary_page.learnt([0.1, 1.0, 1.1], [(0, -0.1), (0, 0.1), (0, 0.1)])[0] == 1


def test_advice__right_wrong_and_undecided() -> None:
    last = {"steel": found(-0.1, 0.02), "textures": found(-0.1, 0.02), "trash": found(0.0, 0.02)}
    joined = dict.fromkeys(last, found(0.02, 0.01))
    text = summary_page.advice({"last": last, "joined": joined}, SETS)[0]
    # Steel is unlike the source, textures are like it; earlier layers are better on both.
    assert "right on 1 and wrong on 1; on the other 1 the" in text


def test_keep__adds_a_cell_and_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "CELLS", tmp_path / "summary.json")
    assert summary.read() == {}
    summary.keep({"steel": {"last": found(0.1, 0.1)}})
    summary.keep({"textures": {"last": found(0.2, 0.1)}})
    summary.keep({"steel": {"pixels": found(0.3, 0.1)}})
    cells = json.loads((tmp_path / "summary.json").read_text())
    assert list(cells) == ["pixels", "last"]
    assert list(cells["last"]) == ["textures", "steel"]
    assert cells["last"]["steel"]["value"] == pytest.approx(0.1)


def test_summary__the_committed_page_is_that_of_the_committed_cells() -> None:
    text = summary_page.page(summary.read(), summary.CLAIMS, SETS)
    assert summary.PAGE.read_text(encoding="utf-8") == text


def test_sets__are_named_once_and_claims_name_sets_that_exist() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 11
    assert all(set(claim.sets) <= set(NAMES) for claim in summary.CLAIMS)
    assert len({claim.key for claim in summary.CLAIMS}) == len(summary.CLAIMS)


def test_reference_points__the_file_is_what_the_tool_writes_of_it() -> None:
    text = reference_points.as_json(shipped_points())
    assert reference_points.OUT.read_text(encoding="utf-8") == text
    labelled = {p.name for p in shipped_points().sets if p.gain}
    assert labelled == set(NAMES)
