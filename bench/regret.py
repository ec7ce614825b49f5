"""What the choice of `fit` costs: rules of choice side by side on real sets, against the best candidate in hindsight.

    .venv/bin/python bench/regret.py                       measures what is missing, writes docs/evidence/choice.md
    .venv/bin/python bench/regret.py --minutes 3           stops after about three minutes; the same again goes on
    .venv/bin/python bench/regret.py --sets textures --seeds 2 --out /tmp/choice.md

Of each set and seed, the split, folds, candidates and cross-validation are those of `headstart fit`. Every
candidate is also fitted on all training images, and its scores of the test images are kept beside those of
the cross-validation ($HEADSTART_CACHE/bench-regret). The rules choose among what is kept, so another rule
costs no fit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.harness import ROOT, SHARED
from bench.trust_worlds import hindsight

from headstart.backbones import Backbone, load
from headstart.data import index, sample_folder, training_records
from headstart.features import cache_folder, extract
from headstart.heads import fit_rows
from headstart.heads.costs import COSTS
from headstart.probe import Scores, training_folds
from headstart.runs.averaging import average_best, mean_scores, member_scales
from headstart.runs.choose import Candidate, choose
from headstart.runs.measure import Task, measure
from headstart.sources.blocks import Blocks
from headstart.sources.image import ImageSource

OUT = ROOT / "docs" / "evidence" / "choice.md"
COMMAND = ".venv/bin/python bench/regret.py"
# To be raised when what is kept changes.
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Set:
    """Images, the share of them to test on, and the resolutions of the fit."""

    name: str
    folder: str
    test_size: float = 0.5
    resolutions: tuple[int, ...] = (160, 224, 320)


SETS = (
    Set(name="scene15, 150", folder="scene15", test_size=1 - 150 / 4485),
    Set(name="scene15, 1,500", folder="scene15", test_size=1 - 1500 / 4485),
    Set(name="textures", folder="textures"),
    Set(name="digits, 100", folder="digits", test_size=0.944),
    Set(name="digits, 450", folder="digits", test_size=0.75),
    Set(name="flowers12", folder="domains/flowers12"),
    Set(name="rice_leaves", folder="domains/rice_leaves"),
    Set(name="chest_xray", folder="domains/chest_xray"),
    Set(name="sign_digits", folder="domains/sign_digits"),
    Set(name="traffic_signs", folder="domains/traffic_signs"),
    Set(name="neu_steel", folder="domains/neu_steel"),
    Set(name="trashnet", folder="domains/trashnet"),
    Set(name="groceries", folder="domains/groceries"),
    Set(name="characters", folder="characters", test_size=0.2, resolutions=(96,)),
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One set with one seed: what each candidate says of the training and the test images.

    Attributes
    ----------
    y : array (n,)
        Labels of the training images.
    folds : int array (n,)
        Of their cross-validation.
    truth : int array (n_test,)
        Column of each test image's class.
    usual, prior : int
        Positions of the usual layer and of the last layers joined.
    candidates : list of Candidate
        Those that SVMs judged on all folds.
    tested : float32 array (n_candidates, n_test, K)
        Scores of the test images, of SVMs fitted on all training images.
    """

    y: NDArray[np.str_]
    folds: NDArray[np.int64]
    truth: NDArray[np.int64]
    usual: int
    prior: int
    candidates: list[Candidate]
    tested: NDArray[np.float32]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which test images each candidate recognises, (n_candidates, n_test)."""
        found: NDArray[np.bool_] = self.tested.argmax(axis=2) == self.truth
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--sets", nargs="*", default=[s.name for s in SETS])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no trial later")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    ends_at = time.monotonic() + 60 * asked.minutes
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    sets = [s for s in SETS if s.name in asked.sets]
    for seed in seeds:
        for each in sets:
            if kept_at(each, seed).exists() or time.monotonic() > ends_at:
                continue
            began = time.process_time()
            trial = measured(each, seed)
            keep(kept_at(each, seed), trial)
            spent = time.process_time() - began
            print(
                f"{each.name}, seed {seed}: {len(trial.candidates)} judged, {spent:.1f} s",
                flush=True,
            )
    found = {s.name: [facts(s, n) for n in seeds if kept_at(s, n).exists()] for s in sets}
    asked.out.write_text("\n".join(page(found)) + "\n", encoding="utf-8")
    print(f"written: {asked.out}")
    return 0


@cache
def backbone() -> Backbone:
    """The embedded network."""
    return load("embedded")


def measured(each: Set, seed: int) -> Trial:
    """Cross-validate the candidates of a fit, and score the test images by each."""
    folder = folder_of(each)
    images = index(folder, test_size=each.test_size, seed=seed, cache=cache_folder())
    stores = extract(images.records, backbone(), resolutions=each.resolutions).stores
    train, source = training_records(images), ImageSource(backbone=backbone(), stores=stores)
    task = Task(
        source=source,
        records=train,
        folds=training_folds(images, train, seed=seed),
        Cs=sorted(COSTS),
        cache=cache_folder(),
    )
    judged = [c for c in measure(task).candidates if not c.scores.is_screened]
    tested = []
    for c in judged:
        X, Z = (np.asarray(source.rows(c.blocks, some)[:]) for some in (train, images.test))
        coef, intercept = fit_rows(X, task.y, c.scores.C, scores=c.scores.decisions)
        unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
        tested.append((unit @ coef.T + intercept).astype(np.float32))
    classes = np.unique(task.y)
    blocks = [c.blocks for c in judged]
    assert source.prior is not None
    return Trial(
        y=task.y,
        folds=task.folds,
        truth=np.searchsorted(classes, [r.label for r in images.test]),
        usual=blocks.index(source.usual),
        prior=blocks.index(source.prior),
        candidates=judged,
        tested=np.stack(tested),
    )


def folder_of(each: Set) -> Path:
    """The images of a set; the digits are written where they are needed."""
    if each.folder == "digits":
        return sample_folder("digits")
    return SHARED / "data" / each.folder


def kept_at(each: Set, seed: int) -> Path:
    """The file of one trial."""
    return cache_folder() / "bench-regret" / f"{VERSION}-{each.name}-{seed}.npz"


def keep(path: Path, trial: Trial) -> None:
    """Write a trial, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "taps": c.blocks.taps,
            "resolutions": c.blocks.resolutions,
            "macs": c.macs,
            "n_features": c.scores.n_features,
            "C": c.scores.C,
        }
        for c in trial.candidates
    ]
    partial = path.with_suffix(".tmp.npz")
    np.savez(
        partial,
        y=trial.y,
        folds=trial.folds,
        truth=trial.truth,
        places=[trial.usual, trial.prior],
        rows=json.dumps(rows),
        judged=trial.candidates[0].judged,
        decisions=np.stack([c.scores.decisions for c in trial.candidates]),
        tested=trial.tested,
    )
    partial.replace(path)


def recall(path: Path) -> Trial:
    """A trial that was kept."""
    kept = np.load(path, allow_pickle=False)
    y, usual_prior = kept["y"], kept["places"]
    member = np.unique(y, return_inverse=True)[1]
    candidates = [
        Candidate(
            blocks=Blocks(taps=tuple(row["taps"]), resolutions=tuple(row["resolutions"])),
            macs=row["macs"],
            scores=Scores(
                n_features=row["n_features"],
                C=row["C"],
                accuracy_by_C=(),
                decisions=decisions,
                correct=decisions.argmax(axis=1) == member,
            ),
            judged=kept["judged"],
        )
        for row, decisions in zip(json.loads(str(kept["rows"])), kept["decisions"], strict=True)
    ]
    return Trial(
        y=y,
        folds=kept["folds"],
        truth=kept["truth"],
        usual=int(usual_prior[0]),
        prior=int(usual_prior[1]),
        candidates=candidates,
        tested=kept["tested"],
    )


@dataclass(frozen=True, kw_only=True)
class Picked:
    """What one rule takes.

    Attributes
    ----------
    right : bool array (n_test,)
        Which test images it recognises.
    macs : int
        Multiply-accumulates of an image.
    n : int
        How many candidates it averages; 1 is one candidate.
    """

    right: NDArray[np.bool_]
    macs: int
    n: int = 1


def picks(trial: Trial, mean: Candidate | None) -> dict[str, Picked]:
    """What each rule takes, by its name."""
    candidates, labels = trial.candidates, trial.y.tolist()
    cheap = choose(candidates, labels, trial.usual)
    single = choose(candidates, labels, trial.usual, trial.prior)

    def one(i: int) -> Picked:
        return Picked(right=trial.right[i], macs=candidates[i].macs)

    return {
        "usual": one(trial.usual),
        "cheap": one(cheap.chosen),
        "most": one(cheap.best),
        "single": one(single.chosen),
        "accurate": accurate(trial, mean),
    }


def mean_of(trial: Trial) -> Candidate | None:
    """The mean of several candidates; None where nothing makes the join predict better."""
    sizes = {size for c in trial.candidates for size in c.blocks.resolutions}
    # No features are read, so the stores may be absent.
    source = ImageSource(backbone=backbone(), stores=dict.fromkeys(sizes))  # type: ignore[arg-type]
    mean = average_best(trial.candidates, trial.prior, trial.y, source.average, [trial.folds])
    return mean and replace(mean, macs=source.macs(mean.blocks, 0))


def tested_scores(trial: Trial, chosen: Candidate) -> NDArray[np.float32]:
    """Scores of the test images by a candidate or a mean, (n_test, K)."""
    at = {c.blocks: i for i, c in enumerate(trial.candidates)}
    if not chosen.members:
        scores: NDArray[np.float32] = trial.tested[at[chosen.blocks]]
        return scores
    each = [trial.tested[at[c.blocks]] for c in chosen.members]
    return mean_scores(each, member_scales(chosen, trial.y))


def accurate(trial: Trial, mean: Candidate | None) -> Picked:
    """What `fit` takes by default: the mean of several candidates, unless one is better than it."""
    candidates, prior = trial.candidates, trial.prior
    if mean is not None:
        candidates, prior = [*candidates, mean], len(candidates)
    chosen = candidates[choose(candidates, trial.y.tolist(), trial.usual, prior).chosen]
    return Picked(
        right=tested_scores(trial, chosen).argmax(axis=1) == trial.truth,
        macs=chosen.macs,
        n=len(chosen.members) or 1,
    )


def excess(trial: Trial, mean: Candidate | None) -> dict[str, float]:
    """Cross-validated accuracy less that on the test images."""
    join = trial.candidates[trial.prior]
    mean = mean or join
    member = np.unique(trial.y, return_inverse=True)[1]
    decisions = mean.scores.decisions
    if mean.members:
        each = [c.scores.decisions for c in mean.members]
        decisions = mean_scores(each, member_scales(mean, trial.y))
    same_votes = (decisions.argmax(axis=1) == member)[mean.judged]
    tested = float((tested_scores(trial, mean).argmax(axis=1) == trial.truth).mean())
    return {
        "join": join.accuracy - float(trial.right[trial.prior].mean()),
        "same votes": float(same_votes.mean()) - tested,
        "cross-fitted": mean.accuracy - tested,
    }


def facts(each: Set, seed: int) -> dict[str, Any]:
    """What every rule reached on one trial."""
    trial = recall(kept_at(each, seed))
    mean = mean_of(trial)
    picked = picks(trial, mean)
    return {
        "n_train": len(trial.y),
        "n_classes": len(np.unique(trial.y)),
        "n_test": len(trial.truth),
        "best": float(trial.right.mean(axis=1).max()),
        "accuracy": {name: float(p.right.mean()) for name, p in picked.items()},
        "regret": {
            name: hindsight(trial.right, p.right, np.random.default_rng(seed))[1]
            for name, p in picked.items()
        },
        "macs": {name: p.macs / trial.candidates[trial.prior].macs for name, p in picked.items()},
        "n": picked["accurate"].n,
        "excess": excess(trial, mean),
    }


HEADERS = {
    "usual": "usual layer",
    "cheap": "`cheap` (0.1)",
    "most": "most accurate",
    "single": "`single`",
    "accurate": "`accurate`",
}


def page(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The page of evidence, from the facts of every trial of every set."""
    sets = {name: trials for name, trials in found.items() if trials}
    every = [t for trials in sets.values() for t in trials]
    gains = np.array([_gain(trials).mean() for trials in sets.values()])
    each = _gain(every)
    regrets = {
        rule: np.array([_of(trials, "regret", rule).mean() for trials in sets.values()])
        for rule in HEADERS
    }
    worst = list(sets)[int(regrets["accurate"].argmax())]
    n_averaged = np.mean([t["n"] for t in every])
    cost = np.mean([t["macs"]["accurate"] for t in every])
    counts = [len(trials) for trials in sets.values()]
    seeds = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(counts[0])
    return [
        "# What the choice costs",
        "",
        f"Written by `{COMMAND}`: {len(every)} fits of {len(sets)} settings, {seeds} seeds (from 100), embedded network at 160, 224 and 320 px",
        "(the characters at 96 px). The rules of [choice](../choice.md#the-rule) choose among the same candidates, cross-validated",
        "on the same folds, and are judged on the same test images.",
        "",
        "- *usual layer*: the layer before the logits at 224 px, always.",
        "- *`cheap` (0.1)*: the cheapest candidate that ties and is at most a point behind; 0.1 always chose so.",
        "- *most accurate*: the highest cross-validated accuracy.",
        "- *`single`*: the last four layers joined at the two largest resolutions, unless the most accurate is significantly better.",
        "- *`accurate`*: the default, the mean of that join and of others by votes, unless the most accurate is significantly better.",
        "",
        f"`accurate` is {_points(gains)} points above `single`, mean of the settings{_over_settings(gains)}.",
        f"It is better in {int((each > 0).sum())} fits, equal in {int((each == 0).sum())}, worse in {int((each < 0).sum())}.",
        f"It averages {n_averaged:.1f} candidates; its passes through the network cost",
        f"{cost:.2f} times those of `single`.",
        "",
        "## Test accuracy, %",
        "",
        *_table(
            [
                "set",
                "train x classes / test",
                "seeds",
                *HEADERS.values(),
                "`accurate` over `single`, points",
            ],
            [_accuracies(name, trials) for name, trials in sets.items()],
        ),
        "",
        "## Regret, points",
        "",
        "Accuracy of the best single candidate in hindsight less that of the choice: the best on one half of the test images,",
        "both judged on the other half (mean of 200 halves). Mean of the seeds, with its standard error. A mean of candidates is",
        "none of them, so its regret may be negative.",
        "",
        *_table(
            ["set", *HEADERS.values()],
            [
                *(
                    [name, *(_points(_of(t, "regret", rule)) for rule in HEADERS)]
                    for name, t in sets.items()
                ),
                [
                    "**mean of the settings**",
                    *(f"**{100 * regrets[rule].mean():+.2f}**" for rule in HEADERS),
                ],
            ],
        ),
        "",
        f"The largest regret of `accurate` is that of {worst}.",
        "",
        "## Cross-validated less test accuracy, points",
        "",
        "Votes by the scores of all folds flatter the mean on those same scores. `fit` judges each fold by votes of the other",
        "folds. Cross-validation trains on four fifths of the images, so without optimism these figures are a little below zero:",
        "those of the join, of which only C was chosen, show how much. Mean of the seeds, with its standard error.",
        "",
        *_table(
            ["set", *EXCESS.values(), "mean less join, same votes", "mean less join, cross-fitted"],
            [
                *(
                    [name, *_excesses([[t["excess"] for t in trials]])]
                    for name, trials in sets.items()
                ),
                [
                    "**mean of the settings**",
                    *_excesses([[t["excess"] for t in trials] for trials in sets.values()]),
                ],
            ],
        ),
    ]


EXCESS = {
    "join": "join",
    "same votes": "mean, same votes",
    "cross-fitted": "mean, cross-fitted",
}


def _excesses(sets: Sequence[Sequence[Mapping[str, float]]]) -> list[str]:
    """Of one set the mean of its seeds; of several, the mean of the sets."""

    def of(difference: Callable[[Mapping[str, float]], float]) -> str:
        each = [np.array([difference(t) for t in trials]) for trials in sets]
        return _points(each[0] if len(each) == 1 else np.array([v.mean() for v in each]))

    return [
        *(of(lambda t, name=name: t[name]) for name in EXCESS),  # type: ignore[misc]
        *(of(lambda t, n=n: t[n] - t["join"]) for n in EXCESS if n != "join"),  # type: ignore[misc]
    ]


def _accuracies(name: str, trials: Sequence[Mapping[str, Any]]) -> list[str]:
    first = trials[0]
    images = f"{first['n_train']:,} x {first['n_classes']} / {first['n_test']:,}"
    reached = [f"{100 * _of(trials, 'accuracy', rule).mean():.1f}" for rule in HEADERS]
    return [name, images, str(len(trials)), *reached, _points(_gain(trials))]


def _gain(trials: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return _of(trials, "accuracy", "accurate") - _of(trials, "accuracy", "single")


def _of(trials: Sequence[Mapping[str, Any]], what: str, rule: str) -> NDArray[np.float64]:
    return np.array([t[what][rule] for t in trials])


def _over_settings(gains: NDArray[np.float64]) -> str:
    """The 95 % interval of their mean, Student's."""
    if len(gains) < 3:
        return ""
    half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return f" (95 % interval [{100 * (gains.mean() - half):+.2f}, {100 * (gains.mean() + half):+.2f}], Student's)"


def _points(values: NDArray[np.float64]) -> str:
    """A mean in points, with its standard error where there is one."""
    mean = f"{100 * values.mean():+.2f}"
    return (
        mean if len(values) < 2 else f"{mean} ± {100 * values.std(ddof=1) / len(values) ** 0.5:.2f}"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


if __name__ == "__main__":
    raise SystemExit(main())
