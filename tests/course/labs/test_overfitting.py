from __future__ import annotations

from headstart.course.labs import overfitting
from headstart.course.labs.samples import Samples


def test_measure__grid_is_whole_and_data_close_the_gap(blobs: Samples) -> None:
    found = overfitting.measure(blobs, [0, 1], widths=(2, 16), sizes=(20, 60, 10_000), n_epochs=5)
    assert found.sizes == [20, 60]
    assert len(found.cells) == 4
    assert found.cell(60, 16).train_accuracy.value > 0.9
    assert all(sum(c.codes.values()) >= 2 for c in found.cells)
