"""An index made by workers, alone and on a real Ray, is that of this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headstart.data import Index, index
from headstart.data.factstore import FactStore
from headstart.data.inspection import Inspected
from headstart.errors import InputError
from headstart.features import rayindex
from headstart.features.raycluster import Cluster
from headstart.features.rayindex import Inspector, Known, inspect_on
from headstart.features.rayworker import packed_digests
from packing import pictures, write_folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty-one pictures, one of them broken and two of them equal."""
    folder = write_folder(tmp_path / "photos", pictures(21))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files[4].write_bytes(files[4].read_bytes()[:200])
    files[5].write_bytes(files[6].read_bytes())
    return folder


def alone(paths: list[Path], store: FactStore) -> Iterator[Inspected]:
    """What `inspect_on` does, by one worker in this process."""
    worker = Inspector(Known(digests=np.sort(packed_digests(store.digests()))))
    unit = json.dumps([7, [str(path) for path in paths]])
    [row] = list(worker(pa.table({"unit": [unit]})))
    assert row["number"] == [7]
    for seen in map(rayindex._from_json, json.loads(row["found"][0])):
        yield Inspected(seen.digest, (seen.digest and store.get(seen.digest)) or seen.facts)


def assert_equal(found: Index, expected: Index) -> None:
    for field in dataclasses.fields(Index):
        assert getattr(found, field.name) == getattr(expected, field.name), field.name


def test_inspector__finds_what_this_machine_finds(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = index(photos)
    assert len(expected.quarantine) == 1
    assert expected.duplicates
    assert_equal(index(photos, cache=tmp_path, inspect=alone), expected)  # type: ignore[arg-type]
    # what is known by digest is decoded by no worker any more
    monkeypatch.setattr("headstart.data.inspection.facts_of", None)
    assert_equal(index(photos, cache=tmp_path, inspect=alone), expected)  # type: ignore[arg-type]


def test_inspector__another_version_of_headstart_is_refused() -> None:
    worker = Inspector(Known(version="0.0.1"))
    with pytest.raises(InputError, match=r"has 0\.0\.1: install one version"):
        next(worker(pa.table({"unit": ["[0, []]"]})))


def test_known__contains_its_digests_alone() -> None:
    some = [hashlib.sha256(bytes([i])).hexdigest() for i in range(40)]
    known = Known(digests=np.sort(packed_digests(some[::2])))
    assert [digest in known for digest in some] == [True, False] * 20
    assert some[0] not in Known()


@pytest.mark.slow
def test_inspect_on__several_workers_give_the_index_in_order(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(rayindex, "UNIT_FILES", 4)
    assert_equal(index(photos, inspect=inspect_on(Cluster(n_workers=2))), index(photos))
