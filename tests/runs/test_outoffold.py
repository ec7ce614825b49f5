"""Out-of-fold probabilities of a run's images, in the forms that cleanlab reads."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import InputError
from headstart.runs.outoffold import out_of_fold
from headstart.runs.retrieval import index_of
from headstart.runs.run import Run


def test_out_of_fold__has_every_image_in_both_forms(run: Run, store: Path, tmp_path: Path) -> None:
    found = out_of_fold(run, cache=store)
    records = {r.name: r for r in index_of(run).records}
    assert set(found.names) == set(records)
    assert found.n_left_out == 0
    assert [records[name].label for name in found.names] == list(found.labels)
    assert np.allclose(found.P.sum(axis=1), 1)
    found.write(tmp_path / "x.npz")
    found.write(tmp_path / "x.csv")
    with np.load(tmp_path / "x.npz") as kept:  # plain arrays: nothing is unpickled
        names, classes, labels, P = (kept[k] for k in ("names", "classes", "labels", "pred_probs"))
    assert (tuple(names), tuple(classes[labels])) == (found.names, found.labels)
    assert np.allclose(P, found.P, atol=1e-6)
    header, *rows = csv.reader((tmp_path / "x.csv").read_text("utf-8").splitlines())
    assert header == ["name", "split", "label", *(f"p({c})" for c in classes)]
    assert [row[2] for row in rows] == list(found.labels)
    assert np.array([row[3:] for row in rows], float) == pytest.approx(found.P, abs=1e-5)
    with pytest.raises(InputError, match=r"must end in \.csv or \.npz, got x\.parquet"):
        found.write(tmp_path / "x.parquet")
