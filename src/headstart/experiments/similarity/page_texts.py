"""Which reference texts lie near, layer by layer, and whether the encoder helps where it helped there."""

from __future__ import annotations

from headstart.experiments.correlation import MIN_CANDIDATES, too_few
from headstart.experiments.similarity.references import N_IMAGES
from headstart.experiments.similarity.result import Gain, Placed, SimilarityResult
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

N_NAMED = 3
SCALE_HEADER = ("set", "texts compared", "symmetric KL", "Fréchet", "KL by chance, 95 % point")
GAIN_HEADER = (
    "set",
    "symmetric KL",
    "TF-IDF and encoder",
    "TF-IDF",
    "chance, %",
    "errors removed, %",
    "above chance, %",
    "removed by neighbours, %",
)


def title(r: SimilarityResult) -> str:
    """The question."""
    return f"{r.data}: which texts lie near, by {r.backbone}"


def sentence(r: SimilarityResult) -> str:
    """The headline: the nearest set, and whether it lies farther than chance explains."""
    nearest = _others(r)[0]
    said = f"{r.target} lies nearest to {nearest.name}: {nearest.distance.medians['kl']}"
    if nearest.chance is None:
        return f"{said}."
    beyond = "farther" if nearest.kl > nearest.chance else "no farther"
    return headline(f"{said}, {beyond} than chance explains ({nearest.chance:.3f}).", f"{said}.")


def detail(r: SimilarityResult) -> str:
    """The other sets, what the encoder gives, and whether the nearest sets predict that."""
    return f"{place(r)} {_gains(r)}{verdict(r)}"


def place(r: SimilarityResult) -> str:
    """The sets from near to far, without those in the middle where there are many."""
    named = [f"{s.name} ({words.decimal(s.kl)})" for s in _others(r)]
    rest = len(named) - 2 * N_NAMED
    if rest > 0:
        named = [*named[:N_NAMED], words.plural(rest, "other"), *named[-N_NAMED:]]
    return f"From near to far: {listed(named)}."


def verdict(r: SimilarityResult) -> str:
    """Whether gains are more similar for nearby sets."""
    found = r.by_errors
    if found.n < 3:
        return (
            "At least three labelled references are needed to tell whether the encoder helps similar texts by "
            f"similar amounts; there {'is' if found.n == 1 else 'are'} {found.n}."
        )
    if found.kendall is None:
        return "It gives the same on all labelled references, so the distance predicts nothing."
    kendall = f"Kendall {tau(found)}, 1 would be perfect"
    over = f"Over {found.n} labelled references,"
    if found.n >= MIN_CANDIDATES and not found.is_significant:
        return f"{over} distance and difference in gain have no significant relation ({kendall}).{_quick(r)}"
    does = "more" if found.kendall > 0 else "less"
    if not found.is_significant:
        return f"{over} gains are {does} similar for nearby sets ({kendall}). {too_few(found.n)}"
    return f"{over} gains are {does} similar for nearby sets ({kendall}).{_quick(r)}"


def _quick(r: SimilarityResult) -> str:
    """Whether the quick score says what the encoder gives; empty with too few sets."""
    found = r.by_neighbours
    if found.kendall is None or too_few(found.n):
        return ""
    relation = "has no significant relation with"
    if found.is_significant:
        relation = "agrees with" if found.kendall > 0 else "goes against"
    return (
        f" The quick score, of {N_IMAGES} labelled texts, {relation} the errors removed on other texts "
        f"(Kendall {tau(found)} over {found.n} sets)."
    )


def _gains(r: SimilarityResult) -> str:
    """What the encoder gives on the data, and on the nearest labelled reference."""
    own = of_target(r).gain
    if own is None:
        return ""
    said = f"Beside TF-IDF, the encoder {_removes(own)} on {r.target}"
    near = next((s for s in _others(r) if s.gain is not None), None)
    if near is None or near.gain is None:
        return f"{said}. "
    return f"{said}; on {near.name}, the nearest with labels, it {_removes(near.gain)}. "


def _removes(gain: Gain) -> str:
    share = gain.errors_removed
    if share < 0:
        return f"adds {words.bare_percent(-share)} % to the errors"
    return f"removes {words.bare_percent(share)} % of the errors"


def _others(r: SimilarityResult) -> list[Placed]:
    return [s for s in r.sets if s.name != r.target]


def brief(r: SimilarityResult) -> list[Section]:
    """What the terminal shows."""
    gains = {row[0]: row for row in gain_rows(r)}
    rows = []
    for s in r.sets:
        _, _, both, alone, _, removed, _, quick = gains.get(s.name, [""] * 8)
        measured = (both.partition(" ")[0], alone.partition(" ")[0], removed, quick)
        rows.append([s.name, str(s.distance.medians["kl"]), _chance(s), *measured])
    table = Table(
        header=["set", "KL", "chance", "encoder", "TF-IDF", "removed", "quick"],
        rows=rows,
        chosen=target_row(r, r.sets),
    )
    caption = (
        "KL: distance to your texts, mean over features, median over layers; of your texts, between two samples of them\n"
        "chance: 95 of 100 sets of the same kind as yours, with as many texts as the set, lie no farther than this\n"
        "encoder, TF-IDF: accuracy in % of a linear SVM on TF-IDF with and without the encoder\n"
        "removed: % of the errors on TF-IDF that the encoder removes\n"
        f"quick: the same by nearest neighbours among {N_IMAGES} labelled texts"
        f"{_same(r, before=chr(10))}"
    )
    return [Section(heading="", table=table, caption=caption)]


def sections(r: SimilarityResult) -> list[Section]:
    """The scale, the layers, and whether gains are more similar for nearby sets."""
    return [_scale(r), _layers(r), _prediction(r)]


def _chance(s: Placed) -> str:
    return words.NOTHING if s.chance is None else f"{s.chance:.3f}"


def _scale(r: SimilarityResult) -> Section:
    shipped = (
        f"The built-in references were measured with Headstart {r.shipped} and this encoder, and ship with "
        f"the package as mean and variance of each feature; no text is in it.{_same(r, before=' ')}"
        if r.shipped
        else "There are no built-in references here: they were left out, or belong to another encoder."
    )
    return Section(
        heading="Which texts lie near",
        text=[
            (
                f"A sentence encoder keeps no statistics of the texts it was trained on, so there is no distance to "
                f"its source. Here is how far other sets lie from {r.target} in the features of {r.backbone}: "
                "symmetric Kullback-Leibler divergence between two Gaussians, mean over the features of a "
                "layer, median over the layers. Two sets of the same kind do not lie at 0, because each is a sample. "
                f"The line of {r.target} is the mean distance of two sets of as many texts, drawn from it "
                "independently with replacement. Chance: the same with as many texts as the reference has; 95 of "
                "100 draws lie no farther, so one in 20 references of the same kind does."
            ),
            "; ".join(f"{s.name}: {s.note}" for s in r.sets if s.note) + ".",
            shipped,
        ],
        figure=scale_figure(r, f"Distance of each set to {r.target}", place(r)),
        caption=(
            "The star is the distance between two samples of your data. Lines: 95 % intervals over which texts were "
            "drawn: yours, and those of the references that you gave; the built-in ones are taken as they are."
        ),
        table=Table(
            header=SCALE_HEADER,
            rows=[[*row, _chance(s)] for row, s in zip(scale_rows(r), r.sets, strict=True)],
            chosen=target_row(r, r.sets),
        ),
    )


def _layers(r: SimilarityResult) -> Section:
    shown = curves(r)
    layers = shown[0].distance.layers
    nearest = _others(r)[0]
    return Section(
        heading="Layer by layer",
        text=[
            (
                f"{nearest.name}, the nearest, lies {nearest.distance.kl[0]:.3f} away at {layers[0]} and "
                f"{nearest.distance.kl[-1]:.3f} at {layers[-1]}. Early layers see words, late ones more of what is meant."
            )
        ],
        figure=layer_figure(
            shown,
            f"Distance to {r.target} at each layer",
            f"layer of the encoder, from {layers[0]} to {layers[-1]}",
        ),
    )


def _prediction(r: SimilarityResult) -> Section:
    errors, chance = r.by_errors, r.by_chance
    text = [
        (
            "What the encoder gives is compared with what is there without it: the linear SVM on TF-IDF and the "
            "encoder's layers beside the linear SVM on TF-IDF alone, cross-validated on the same training texts. Errors "
            "removed: the share of TF-IDF's errors that the encoder removes. Above chance: accuracy less the "
            "share of the largest class, over what is left above it."
        )
    ]
    if errors.kendall is not None:
        text.append(
            f"Rank correlation over {errors.n} references between their distance and how much what they gain differs "
            f"from {r.target}: Kendall {tau(errors)} and Spearman {signed(errors.spearman)} for errors removed "
            f"(p = {errors.p_value:.2f}); Kendall {tau(chance)} and Spearman {signed(chance.spearman)} for accuracy "
            "above chance. If gains are more similar the nearer the set, it is 1. Intervals are 95 %, of other sets drawn with replacement."
        )
    text.append(verdict(r))
    return Section(
        heading="Does the encoder help similar texts by similar amounts?",
        text=text,
        figure=scatter(
            r,
            "distance to the data (median symmetric KL)",
            "errors of TF-IDF that the encoder removes, %",
        ),
        caption="Each dot is a labelled set; your data lie at the distance between two samples of them.",
        table=Table(header=GAIN_HEADER, rows=gain_rows(r), chosen=target_row(r, r.labelled)),
    )


def _same(r: SimilarityResult, *, before: str) -> str:
    """Which built-in references are the user's own texts; empty where none is."""
    if not r.same:
        return ""
    return f"{before}Built-in references left out, because their texts are yours: {listed(r.same)}."
