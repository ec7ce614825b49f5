from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import RunError
from headstart.runs.confusion import MOST_DENSE, encode_counts, read_counts


@pytest.mark.parametrize("n", [2, MOST_DENSE, MOST_DENSE + 1, 300])
def test_read_counts__gives_back_what_was_encoded(n: int) -> None:
    counts = np.random.default_rng(0).poisson(0.05, (n, n))
    kept = encode_counts(counts)
    metrics = {"classes": [str(i) for i in range(n)], "confusion": {"split": "test", **kept}}
    np.testing.assert_array_equal(read_counts(metrics), counts)
    assert ("cells" in kept) == (n > MOST_DENSE)


def test_encode_counts__grows_with_the_examples_rather_than_the_square_of_the_classes() -> None:
    counts = np.zeros((1000, 1000), dtype=int)
    counts[np.arange(200), np.arange(200)] = 3
    assert len(encode_counts(counts)["cells"]) == 200


@pytest.mark.parametrize(
    "kept",
    [{}, {"rows": [[1, 2]]}, {"rows": [[1], [2, 3]]}, {"cells": [[0, 5, 1]]}, {"cells": [[0, 1]]},
     {"cells": [[-1, 0, 1]]}, {"cells": "x"}, {"rows": None}],
)  # fmt: skip
def test_read_counts__what_does_not_fit_the_classes_is_an_error(kept: dict[str, object]) -> None:
    with pytest.raises(RunError, match="does not fit the 2 classes"):
        read_counts({"classes": ["a", "b"], "confusion": {"split": "test", **kept}})
