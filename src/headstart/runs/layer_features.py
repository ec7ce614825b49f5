"""The features of one layer of a run's network, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import DataError
from headstart.progress import Progress, silent
from headstart.runs.retrieval import frozen_model, index_of

if TYPE_CHECKING:
    from headstart.runs.run import Run


def layer_features(
    run: Run,
    tap: str | None = None,
    *,
    size_px: int | None = None,
    data: str | None = None,
    split: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Any:
    """See :meth:`headstart.runs.run.Run.features`."""
    import pandas as pd

    from headstart.features import extract
    from headstart.features.engines import check_device
    from headstart.features.transformer import last_features

    check_device(device)
    [first, *_] = frozen_model(run).encoders
    network = first.load()
    tap = last_features(network) if tap is None else network.tap(tap).name
    size_px = network.preprocessing.size_px if size_px is None else size_px
    records = index_of(run, data, cache, progress, split=split).records
    done = extract(
        records,
        network,
        resolutions=(size_px,),
        precision=first.precision,
        device=device,
        cache=cache,
        progress=progress,
    )
    if done.unreadable:
        raise DataError(
            f"an image of the run cannot be read: {next(iter(done.unreadable.values()))}"
        )
    X = done.stores[size_px].read([r.digest for r in records], tap)
    frame = pd.DataFrame(X, index=pd.Index([r.name for r in records], name="name"))
    frame.columns = [f"features{i}" for i in range(X.shape[1])]
    frame.insert(0, "label", [r.label for r in records])
    frame.insert(1, "split", [r.split for r in records])
    return frame
