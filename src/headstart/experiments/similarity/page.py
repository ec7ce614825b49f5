"""Distances to the source: where the data lie, layer by layer, and whether they predict transfer."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.experiments.correlation import MIN_CANDIDATES, too_few
from headstart.experiments.similarity import page_texts
from headstart.experiments.similarity.references import N_IMAGES
from headstart.experiments.similarity.result import SimilarityResult
from headstart.experiments.similarity.scale import (
    curves,
    gain_rows,
    layer_figure,
    of_target,
    scale_figure,
    scale_rows,
    scatter,
    signed,
    target_row,
    tau,
)
from headstart.runs.report import words
from headstart.runs.report.pages import Section, Table
from headstart.wording import headline, listed

N_CURVES = 6
N_NAMED = 3

SCALE_HEADER = ("set", "images", "symmetric KL", "Fréchet")
GAIN_HEADER = (
    "set",
    "symmetric KL",
    "features",
    "pixels",
    "chance, %",
    "errors removed, %",
    "above chance, %",
    "removed by neighbours, %",
)


def title(r: SimilarityResult) -> str:
    """The question."""
    if r.noun == "text":
        return page_texts.title(r)
    return f"{r.data}: how far from the source of {r.backbone}"


def sentence(r: SimilarityResult) -> str:
    """The headline: how far the target lies, and between which sets."""
    if r.noun == "text":
        return page_texts.sentence(r)
    nearer, equal, farther = _around(r)
    between = [
        *(f"farther than {name}" for name in nearer[-1:]),
        *(f"as far as {name}" for name in equal[:1]),
        *(f"nearer than {name}" for name in farther[:1]),
    ]
    if not between:
        return f"{_lies(r)}."
    return headline(f"{_lies(r)}, {listed(between)}.", f"{_lies(r)}.")


def detail(r: SimilarityResult) -> str:
    """All that lie nearer and farther, and whether the distance predicts transfer."""
    if r.noun == "text":
        return page_texts.detail(r)
    return f"{place(r)} {verdict(r)}"


def sections(r: SimilarityResult) -> list[Section]:
    """The scale, the layers, and whether the distance predicts transfer."""
    if r.noun == "text":
        return page_texts.sections(r)
    return [_scale(r), _layers(r), *_prediction(r)]


def brief(r: SimilarityResult) -> list[Section]:
    """What the terminal shows."""
    if r.noun == "text":
        return page_texts.brief(r)
    gains = {row[0]: row for row in gain_rows(r)}
    rows = []
    for s in r.sets:
        _, _, features, pixels, _, removed, _, quick = gains.get(s.name, [""] * 8)
        measured = (features.partition(" ")[0], pixels.partition(" ")[0], removed, quick)
        rows.append([s.name, str(s.distance.medians["kl"]), *measured])
    table = Table(
        header=["set", "KL", "features", "pixels", "removed", "quick"],
        rows=rows,
        chosen=target_row(r, r.sets),
    )
    caption = (
        "KL: distance to the source, mean over channels, median over layers\n"
        "features, pixels: accuracy in % of a linear SVM on them\n"
        "removed: % of the errors on pixels that the features remove\n"
        f"quick: the same by nearest neighbours among {N_IMAGES} labelled images"
        f"{_same(r, before=chr(10))}"
    )
    return [Section(heading="", table=table, caption=caption)]


def place(r: SimilarityResult) -> str:
    """Where the target lies among all sets."""
    nearer, equal, farther = _around(r)
    between = [
        f"{how} {_few(names, nearest)}"
        for how, names, nearest in (
            ("farther than", nearer, nearer[-N_NAMED:]),
            ("as far as", equal, equal[:N_NAMED]),
            ("nearer than", farther, farther[:N_NAMED]),
        )
        if names
    ]
    return f"{_lies(r)}: {', '.join(between)}." if between else f"{_lies(r)}."


def _few(names: Sequence[str], shown: Sequence[str]) -> str:
    """The names that lie nearest, and how many others there are."""
    rest = len(names) - len(shown)
    return listed([*shown, *([words.plural(rest, "other")] if rest else [])])


def verdict(r: SimilarityResult) -> str:
    """Whether the distance predicts what transfer gave."""
    found = r.by_errors
    if found.n < 3:
        return (
            f"Whether it predicts transfer needs three labelled sets; there "
            f"{'is' if found.n == 1 else 'are'} {found.n}."
        )
    if found.kendall is None:
        return "The labelled sets are all alike, so it predicts nothing about them."
    direction = "agrees with" if found.kendall < 0 else "goes against"
    if found.kendall == 0 or (found.n >= MIN_CANDIDATES and not found.is_significant):
        direction = "does not predict"
    sure = "too few sets" if too_few(found.n) else "not significant"
    return (
        f"Over {found.n} labelled sets the distance {direction} what transfer gave (Kendall "
        f"{tau(found)}, −1 would be perfect)"
        f"{'' if found.is_significant else f': {sure}'}.{_quick_verdict(r)}"
    )


def _quick_verdict(r: SimilarityResult) -> str:
    """Whether the neighbours predict what the distance is asked for; empty with too few sets."""
    found = r.by_neighbours
    if found.kendall is None or too_few(found.n):
        return ""
    does = "do" if found.is_significant and found.kendall > 0 else "do not significantly, either"
    return (
        f" Nearest neighbours among {words.count(N_IMAGES)} labelled images {does} (Kendall "
        f"{tau(found)} with the errors removed on other images of {found.n} sets, 1 would be perfect)."
    )


def caution(r: SimilarityResult) -> str:
    """Why the correlation means little; empty where it may mean something."""
    return too_few(r.by_errors.n) if r.by_errors.n else ""


def _lies(r: SimilarityResult) -> str:
    return f"{r.target} lies {of_target(r).distance.medians['kl']} from the source"


def _around(r: SimilarityResult) -> tuple[list[str], list[str], list[str]]:
    """The sets that lie nearer than the target, as far (as it reads), and farther; near to far."""
    own = round(of_target(r).kl, 3)
    others = [s for s in r.sets if s.name != r.target]
    return (
        [s.name for s in others if round(s.kl, 3) < own],
        [s.name for s in others if round(s.kl, 3) == own],
        [s.name for s in others if round(s.kl, 3) > own],
    )


def _scale(r: SimilarityResult) -> Section:
    return Section(
        heading="Where the data lie",
        text=[
            (
                f"BatchNorm layers of {r.backbone} keep the mean and variance that each channel "
                "had over the images it was trained on. Here is how far the same channels lie from "
                "them with other images: symmetric Kullback-Leibler divergence between the two "
                "Gaussians, mean over the channels of a layer, median over the layers. Even the "
                "source's own images would not lie at 0: the network was trained on varied crops of "
                "them. So the number is to be read against the sets beside it."
            ),
            "; ".join(f"{s.name}: {s.note}" for s in r.sets if s.note) + ".",
            _provenance(r),
        ],
        figure=scale_figure(r, "Distance of each set to the source", place(r)),
        caption="The star is your data. Lines: 95 % intervals over which images were drawn.",
        table=Table(
            header=SCALE_HEADER,
            rows=scale_rows(r),
            chosen=target_row(r, r.sets),
        ),
    )


def _provenance(r: SimilarityResult) -> str:
    """Where the built-in references come from."""
    if r.shipped:
        return (
            f"The built-in references were measured with Headstart {r.shipped}, this network and this "
            f"size, and ship with the package: {N_IMAGES} images of each set for the distance. Only "
            f"your own sets were measured now.{_same(r, before=' ')}"
        )
    if not r.settings.made:
        return "The built-in references were left out."
    return (
        f"Reference points ship for the embedded network at its own size and {N_IMAGES} images per set "
        "only; so photographs, digits and noise were measured now, with this network and this number."
        f"{_same(r, before=' ')}"
    )


def _same(r: SimilarityResult, *, before: str) -> str:
    """Which built-in references are the user's own images; empty where none is."""
    if not r.same:
        return ""
    return (
        f"{before}Built-in references left out, because their images are yours: {listed(r.same)}."
    )


def _layers(r: SimilarityResult) -> Section:
    shown = curves(r)
    own = shown[0].distance
    layers = own.layers
    peak = max(range(len(layers)), key=lambda i: own.kl[i])
    return Section(
        heading="Layer by layer",
        text=[
            (
                f"{r.target} lies farthest from the source at {layers[peak]} (layer {peak + 1} "
                f"of {len(layers)}), where the divergence is {own.kl[peak]:.3f}. "
                "A layer sees the images through all layers below it, which normalise with the "
                "source's statistics."
            )
        ],
        figure=layer_figure(
            shown,
            "Distance to the source at each BatchNorm layer",
            f"BatchNorm layer, from {layers[0]} to {layers[-1]}",
        ),
    )


def _prediction(r: SimilarityResult) -> list[Section]:
    labelled = r.labelled
    if not labelled:
        return []
    errors, chance = r.by_errors, r.by_chance
    text = [
        (
            "What transfer gave is compared with what is there without it: the linear SVM on frozen "
            "features beside the linear SVM on the images' own pixels at 32 px, cross-validated on the "
            "same training images. Errors removed: the share of the pixels' errors that the features "
            "remove. Above chance: accuracy less the share of the largest class, over what is left "
            "above it. Data sets differ in how hard they are, too: no normalisation takes that out "
            "altogether."
        ),
    ]
    if errors.kendall is not None:
        text.append(
            f"Rank correlation with the distance over {errors.n} sets: Kendall {tau(errors)} and "
            f"Spearman {signed(errors.spearman)} for errors removed (p = {errors.p_value:.2f}); "
            f"Kendall {tau(chance)} and Spearman {signed(chance.spearman)} for accuracy above "
            "chance. A distance that predicts transfer has −1. Intervals are 95 %, of other sets "
            "drawn with replacement."
        )
    if r.by_neighbours.kendall is not None:
        text.append(
            "The distance uses no labels. A quick trial does: which share of the errors of the pixels' "
            "five nearest neighbours the features' neighbours remove, on at most "
            f"{N_IMAGES} images. Its Kendall with the errors that the SVM removes on the other images "
            f"of the same sets is {tau(r.by_neighbours)} over {r.by_neighbours.n} sets that have enough "
            "of them. It asks the same question with fewer images and no training; it is not a "
            "property of the source."
        )
    text.append(" ".join(part for part in (verdict(r), caution(r)) if part))
    return [
        Section(
            heading="Does the distance predict transfer?",
            text=text,
            figure=scatter(
                r,
                "distance to the source (median symmetric KL)",
                "errors of the pixels that the features remove, %",
            )
            if len(labelled) > 1
            else "",
            caption="Each dot is a labelled set." if len(labelled) > 1 else "",
            table=Table(header=GAIN_HEADER, rows=gain_rows(r), chosen=target_row(r, labelled)),
        )
    ]
