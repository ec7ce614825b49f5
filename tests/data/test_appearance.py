"""What pictures look like without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import index
from headstart.data.appearance import appearance


@pytest.mark.parametrize("is_kept", [True, False])
def test_appearance__of_what_indexing_kept_or_the_files_again(
    tmp_path: Path, is_kept: bool
) -> None:
    for name, colour in (("dark", 20), ("bright", 220)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(3):
            image = Image.new("RGB", (40, 20), (colour,) * 3)
            if i:
                image.paste((255 - colour, 0, 0), (10, 5, 20 + i, 15))
            image.save(tmp_path / "data" / name / f"{i}.{'jpeg' if i == 2 else 'png'}")
    found = index(tmp_path / "data", cache=tmp_path / "cache")
    seen = appearance(found.records, tmp_path / "cache" if is_kept else None)
    of = {r.name: i for i, r in enumerate(found.records)}
    assert seen.brightness[of["bright/0.png"]] == pytest.approx(220 / 255, abs=0.01)
    assert seen.is_blank.sum() == 2
    assert seen.is_blank[of["dark/0.png"]]
    assert seen.formats[of["dark/2.jpeg"]] == "jpg"
    assert seen.sizes[0].tolist() == [40, 20]
    assert seen.border[of["dark/0.png"]] == pytest.approx(np.full(12, 20), abs=1)
    assert (seen.n_bytes > 0).all()
