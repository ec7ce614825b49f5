"""`fit`: index -> features -> cross-validated table -> choice -> refit -> one test -> run folder.

`finetune` does the same, and takes the network that it was asked to train. The stages are those of
:mod:`headstart.runs.job`, of images and of texts.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import InputError
from headstart.home import expand
from headstart.parameters import checked, checked_fields
from headstart.progress import Progress, resolve
from headstart.runs.folder import check_output, free_name, staged, usual_name
from headstart.runs.measure import Watch, unwatched
from headstart.runs.origin import remember
from headstart.runs.run import Run, load
from headstart.runs.settings import (
    FitSettings,
    TextSettings,
    check_names,
    settings_from,
    with_fields,
)
from headstart.runs.training_plan import Asked
from headstart.training.settings import WITH_TAP, TrainSettings

if TYPE_CHECKING:
    from headstart.runs.finetuning import OnEpoch
    from headstart.runs.images import Images
    from headstart.runs.texts import Texts


@with_fields(FitSettings, TextSettings)
def fit(
    data: str | Path,
    *,
    out: str | Path | None = None,
    force: bool = False,
    cache: str | Path | None = None,
    progress: Progress | bool = True,
    watch: Watch = unwatched,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> Run:
    """Find the best linear classifier on frozen features, and measure how good it is.

    Every image passes through the backbone once; every tap at every resolution is cross-validated on
    the training images. By default several of them are averaged; ``prefer`` says what else to take. What
    is taken is refitted and scored once on the test images. With ``budget_s``, fine-tuning is tried in
    the time that is left, and kept where it beats that classifier on validation.

    Of a table of labelled texts, the candidates are TF-IDF, word vectors, a sentence encoder and
    TextCNNs, as far as ``budget_s`` allows for these; all else is the same.

    Parameters
    ----------
    data : str or Path
        A folder with a folder for each class, with train/val/test folders, a table, or the name of
        a data set: see :func:`headstart.data.index` and :func:`headstart.data.texts.index_texts`.
    out : str or Path, optional
        The run folder to make; default ``runs/<data>``, or ``runs/<data>-2``, ``-3``... if that is taken.
    force : bool
        Replace the run folder ``out``, by default ``runs/<data>``.
    cache : str or Path, optional
        Where features are kept.
    progress : bool or callable, default True
        True: a bar in a notebook, and on standard error where that is a terminal. False: none. A function is
        called with the stage, the number done and the total.
    watch : callable
        Told of every candidate as it is measured: see :func:`headstart.runs.measure.measure`.
    on_epoch : callable, optional
        Told of the epochs so far after each epoch of a training.
    **settings
        The fields of :class:`headstart.runs.settings.FitSettings`, or with a table of texts of
        :class:`headstart.runs.settings.TextSettings`.

    Returns
    -------
    Run
        With ``multi_label``, ``label_columns`` or ``target_column`` a
        :class:`headstart.runs.target_run.TargetRun`, whose predictions are labels or a number.

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

    place: str = checked("data", str, data)
    if is_text_table(
        place,
        text_column=settings.get("text"),
        image_column=settings.get("image_column"),
    ):
        from headstart.runs.texts import Texts

        texts = settings_from(TextSettings, place, settings)
        kind: Images | Texts = Texts(
            settings=texts,
            cache=expand(cache) if cache is not None else cache_folder(),
            progress=resolve(progress),
        )
    else:
        from headstart.runs.images import Images

        kind = Images(
            settings=settings_from(FitSettings, place, settings),
            cache=expand(cache) if cache is not None else cache_folder(),
            progress=resolve(progress),
            on_epoch=on_epoch,
        )
    return _carry_out(kind, out, force=force, watch=watch)


@with_fields(TrainSettings, FitSettings)
def finetune(
    data: str | Path,
    *,
    regime: str = "all",
    tap: str | None = None,
    epochs: int = 6,
    normalise: bool = True,
    out: str | Path | None = None,
    force: bool = False,
    cache: str | Path | None = None,
    progress: Progress | bool = True,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> Run:
    """Train the network itself, and measure it beside the linear SVM on its frozen features.

    Parameters
    ----------
    data, out, force, cache, progress, on_epoch
        As in :func:`fit`; ``out`` is by default ``runs/<data>-finetune-<regime>``.
    regime : {"scratch", "all", "lower", "upper", "output"}
        What is trained: see :data:`headstart.training.REGIMES`.
    tap : str, optional
        Where ``lower`` ends and ``upper`` begins; default the middle of the network.
    epochs : int >= 1
    normalise : bool
        Begin with the linear SVM's output layer, which sees features of unit length; else a random one.
    **settings
        Further fields of :class:`headstart.training.TrainSettings` (``seed`` and ``precision`` are those
        of the training), and those of :class:`headstart.runs.settings.FitSettings`. The network is
        trained on crops of ``size_px``, by default its own size.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        As :func:`fit`, and where the settings of the training do not suit the network or the data.
    DivergedError
        The loss is not finite.

    Examples
    --------
    >>> run = headstart.finetune("photos/", regime="upper", epochs=8)   # doctest: +SKIP
    """
    from headstart.backbones import load as load_backbone
    from headstart.backbones.listed import split_names
    from headstart.comparison.arms import regime_arms
    from headstart.data.texts import is_text_table

    own = {f.name for f in dataclasses.fields(TrainSettings)}
    training = {name: value for name, value in settings.items() if name in own}
    fitted = {name: value for name, value in settings.items() if name not in own}
    check_names("finetune", fitted, [f.name for f in dataclasses.fields(FitSettings)], own)
    if tap is not None and regime not in WITH_TAP:
        raise InputError(
            f"tap goes with the regimes {' and '.join(WITH_TAP)}; regime is {regime!r}"
        )
    place: str = checked("data", str, data)
    if is_text_table(place, image_column=fitted.get("image_column")):
        raise InputError(
            f"{place!r} is a table of texts, and finetune trains networks on images: fit trains TextCNNs"
        )
    if training.get("precision") in ("auto", "bfloat16"):
        raise InputError(
            "precision is that of the training: float32 or bf16-mixed; "
            f"got {training['precision']!r}"
        )
    training |= {"epochs": epochs, "normalise": normalise}
    base = TrainSettings(**checked_fields(TrainSettings, training))
    fit_settings = settings_from(FitSettings, place, fitted)
    if len(split_names(fit_settings.backbone)) > 1:
        raise InputError(
            f"finetune trains one network; backbone names several: {fit_settings.backbone}"
        )
    net = load_backbone(fit_settings.backbone, weights=fit_settings.weights, arch=fit_settings.arch)
    arm = regime_arms(net, base, tap=tap, names=[regime])[-1]
    assert arm.settings is not None
    sizes = {*(fit_settings.resolutions or ()), *filter(None, [base.size_px])}
    resolutions = tuple(sorted(sizes or {net.preprocessing.size_px}))
    return _train(
        dataclasses.replace(fit_settings, seed=base.seed, resolutions=resolutions),
        Asked(settings=arm.settings, starts_from_svm=arm.starts_from_svm),
        out,
        force=force,
        cache=cache,
        progress=progress,
        on_epoch=on_epoch,
    )


@with_fields(FitSettings)
def train(
    data: str | Path,
    asked: Asked,
    *,
    out: str | Path | None = None,
    force: bool = False,
    cache: str | Path | None = None,
    progress: Progress | bool = True,
    on_epoch: OnEpoch | None = None,
    **settings: Any,
) -> Run:
    """A fit whose model is the network trained as asked, whatever it reaches; the SVM stands beside it.

    Raises InputError as :func:`fit`, and where the settings of the training do not suit the network
    or the data; DivergedError where the loss is not finite.

    `data`, `out`, `force`, `cache`, `progress`, `on_epoch`: as in :func:`fit`; ``out`` is by
    default ``runs/<data>-finetune-<regime>``. `**settings`: the fields of
    :class:`headstart.runs.settings.FitSettings`.
    """
    fit_settings = settings_from(FitSettings, str(data), settings)
    return _train(
        fit_settings, asked, out, force=force, cache=cache, progress=progress, on_epoch=on_epoch
    )


def _train(
    settings: FitSettings,
    asked: Asked,
    out: str | Path | None,
    *,
    force: bool,
    cache: str | Path | None,
    progress: Progress | bool,
    on_epoch: OnEpoch | None,
) -> Run:
    from headstart.features import cache_folder
    from headstart.runs.images import Images

    kind = Images(
        settings=settings,
        cache=expand(cache) if cache is not None else cache_folder(),
        progress=resolve(progress),
        on_epoch=on_epoch,
        asked=asked,
    )
    suffix = f"-finetune-{asked.settings.regime}"
    return _carry_out(kind, out, force=force, suffix=suffix)


def _carry_out(
    kind: Images | Texts,
    out: str | Path | None,
    *,
    force: bool,
    suffix: str = "",
    watch: Watch = unwatched,
) -> Run:
    from headstart.runs.job import Job

    usual = expand(out) if out is not None else usual_name(kind.settings.data, suffix=suffix)
    is_free = out is not None or force
    place = usual if is_free else free_name(kind.settings.data, suffix=suffix)
    check_output(place, force=force)
    with staged(place, force=force) as scratch:
        job = Job(kind=kind, out=place, taken=usual if place != usual else None, watch=watch)
        results: Any = job.run(scratch)
    remember(place, kind.origin(results))
    if results.finetuning is not None:  # only now that the run is in its place
        results.finetuning.discard()
    return load(place)
