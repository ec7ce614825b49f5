"""`fit`: index -> features -> cross-validated table -> choice -> refit -> one test -> run folder.

`train` does the same, and takes the network that it was asked to train. The stages are those of
:mod:`headstart.runs.job`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.home import expand
from headstart.progress import Progress, silent
from headstart.runs.folder import check_output, free_name, staged
from headstart.runs.job import Job
from headstart.runs.measure import Watch, unwatched
from headstart.runs.origin import Origin, remember
from headstart.runs.run import Run
from headstart.runs.settings import FitSettings, settings_from, with_fields
from headstart.runs.text.settings import TextSettings

if TYPE_CHECKING:
    from headstart.runs.finetuning import OnEpoch
    from headstart.runs.training_plan import Asked


@with_fields(FitSettings, TextSettings)
def fit(
    data: str | Path,
    *,
    out: str | Path | None = None,
    force: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
    watch: Watch = unwatched,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> Run:
    """Find the best linear classifier on frozen features, and measure how good it is.

    A table of texts gets the same by :func:`headstart.runs.text.fit.fit_texts`. Every image passes
    through the backbone once; every tap at every resolution is cross-validated on the training
    images; the cheapest layer within one standard error of the best, and at most a point lower, is
    refitted and scored once on the test images. With ``budget_s``, fine-tuning is tried in the time
    that is left, and kept where it beats that classifier on validation.

    Parameters
    ----------
    data : str or Path
        A folder with a folder for each class, with train/val/test folders, a table, or the name of
        a data set: see :func:`headstart.data.index`.
    out : str or Path, optional
        The run folder to make; default ``runs/<data>``.
    force : bool
        Replace a run folder at ``out``.
    cache : Path, optional
        Where features are kept.
    progress : Progress
    watch : callable
        Told of every candidate as it is measured: see :func:`headstart.runs.measure.measure`.
    on_epoch : callable, optional
        Told of the epochs so far after each epoch of a training.
    **settings
        The fields of :class:`headstart.runs.settings.FitSettings`, or with a table of texts of
        :class:`headstart.runs.text.settings.TextSettings`.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        Anything that the caller gave cannot be used; the message says what and what to do.

    Examples
    --------
    >>> run = headstart.fit("photos/", seed=1)                          # doctest: +SKIP
    >>> run.predict(["new.jpg"])[0].label                               # doctest: +SKIP
    """
    from headstart.data.texts import is_text_table
    from headstart.features import cache_folder

    if is_text_table(
        str(data),
        text_column=settings.get("text"),
        image_column=settings.get("image_column"),
    ):
        from headstart.runs.text.fit import fit_texts

        return fit_texts(data, out=out, force=force, cache=cache, progress=progress, **settings)
    chosen = settings_from(FitSettings, str(data), settings)
    job = Job(
        settings=chosen,
        out=expand(out) if out is not None else free_name(chosen.data),
        cache=cache or cache_folder(),
        progress=progress,
        watch=watch,
        on_epoch=on_epoch,
    )
    return _carry_out(job, force=force)


@with_fields(FitSettings)
def train(
    data: str | Path,
    asked: Asked,
    *,
    out: str | Path | None = None,
    force: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> Run:
    """A fit whose model is the network trained as asked, whatever it reaches; the SVM stands beside it.

    Parameters
    ----------
    data, out, force, cache, progress, on_epoch
        As in :func:`fit`; ``out`` is by default ``runs/<data>-finetune-<regime>``.
    asked : Asked
    **settings
        The fields of :class:`headstart.runs.settings.FitSettings`.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        As :func:`fit`, and where the settings of the training do not suit the network or the data.
    DivergedError
        The loss is not finite.
    """
    from headstart.features import cache_folder

    chosen = settings_from(FitSettings, str(data), settings)
    name = free_name(chosen.data, suffix=f"-finetune-{asked.settings.regime}")
    job = Job(
        settings=chosen,
        out=expand(out) if out is not None else name,
        cache=cache or cache_folder(),
        progress=progress,
        on_epoch=on_epoch,
        asked=asked,
    )
    return _carry_out(job, force=force)


def _carry_out(job: Job, *, force: bool) -> Run:
    check_output(job.out, force=force)
    with staged(job.out, force=force) as scratch:
        results = job.run(scratch)
    remember(job.out, Origin(data=job.settings.data, split=job.settings.split))
    if results.finetuning is not None:  # only now that the run is in its place
        results.finetuning.discard()
    return Run(job.out)
