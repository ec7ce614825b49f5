"""Numbers and sentences of the report, and run folders that it cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_metrics import tiny
from msgspec.structs import replace

from headstart.errors import RunError
from headstart.results import Interval
from headstart.runs.report import story, words, write_report
from headstart.runs.result import CandidateResult, metrics_from


def candidate(tap: str, value: float, macs: int | None, **more: Any) -> CandidateResult:
    cv = Interval(value, value - 0.01, value + 0.01)
    flags = {"best": False, "tie": False, "chosen": False, "n_features": 100} | more
    return CandidateResult(tap=tap, resolution="224", cv=cv, macs=macs, **flags)


def choice(candidates: list[CandidateResult], **selection: Any) -> str:
    found = metrics_from(tiny())
    given = replace(
        found, candidates=tuple(candidates), selection=replace(found.selection, **selection)
    )
    return story.choice(given).replace("\u00a0", " ")


def legend(candidates: list[CandidateResult], **selection: Any) -> str:
    found = metrics_from(tiny())
    given = replace(
        found, candidates=tuple(candidates), selection=replace(found.selection, **selection)
    )
    return "\n".join(story.legend(given))


def test_legend__says_why_the_chosen_one_is_not_the_highest() -> None:
    best, lower = candidate("top", 0.9, 2, best=True), candidate("usual", 0.8, 1, chosen=True)
    said = legend([best, lower], prefer="accurate")
    assert "highest: top at 224 px, but not significantly better" in said
    assert "~" not in said
    said = legend(
        [candidate("top", 0.9, 2, best=True, chosen=True), candidate("x", 0.9, 1, tie=True)]
    )
    assert "~ tie: within one standard error of the highest" in said
    assert "highest: top" not in said
    assert "cheapest" in legend([best, lower], prefer="cheap")


def test_cheap_line__speaks_of_means_only_where_there_are_some() -> None:
    found = metrics_from(tiny())
    cheap = candidate("low", 0.9, 1, cheap=True)
    dear = candidate("high", 0.91, 9, best=True, chosen=True)
    alone = replace(found, candidates=(cheap, dear))
    assert "mean" not in story.cheap_line(alone)
    averaged = replace(dear, n_averaged=3)
    assert "not a mean" in story.cheap_line(replace(found, candidates=(cheap, averaged)))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (words.percent(0.9314), "93.1 %"),
        (words.percent(None), "–"),
        (words.percent(float("nan")), "–"),
        (words.bounds(Interval(0.5, 0.4, 0.6)), "[40.0, 60.0]"),
        (words.bounds(None), ""),
        (words.points(-0.004), "−0.4"),
        (words.points(0.004), "+0.4"),
        (words.points(-0.0004), "−0.04"),
        (words.count(13455), "13,455"),
        (words.macs(385_000_000), "385 M"),
        (words.macs(1_240_000_000), "1.2 G"),
        (words.macs(None), "–"),
        (words.duration(0.83), "0.8 s"),
        (words.duration(59.7), "1 min 0 s"),
        (words.duration(7800), "2 h 10 min"),
        (words.moment("2026-05-09T07:35:25.123+00:00"), "2026-05-09 07:35 UTC"),
        (words.moment("2026-05-09"), "2026-05-09"),
        (words.plural(1, "class", "classes"), "1 class"),
        (words.plural(1200, "image"), "1,200 images"),
    ],
)
def test_words__write_numbers_as_people_do(written: str, expected: str) -> None:
    assert written.replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("candidates", "ending"),
    [
        (
            [candidate("a", 0.9, 9, best=True), candidate("b", 0.89, 5, tie=True, chosen=True)],
            "(5 multiply-accumulates per image, 56 % of what the highest needs), so it was chosen.",
        ),
        (
            [candidate("a", 0.9, 5, best=True, chosen=True), candidate("b", 0.89, 9, tie=True)],
            "It is also the cheapest of them, so it was chosen.",
        ),
        (
            [candidate("a", 0.9, 9, best=True, chosen=True), candidate("b", 0.895, 5, tie=True)],
            "Of these a at 224 px was chosen.",
        ),
        (
            [candidate("a", 0.9, 9, best=True, chosen=True), candidate("b", 0.88, 5, tie=True)],
            "Those that cost less are more than one point lower, so it was chosen.",
        ),
        (
            [
                candidate("a", 0.95, 9, best=True, chosen=True, n_features=1904),
                candidate("b", 0.93, 9, tie=True, n_features=320),
            ],
            "Those that cost less are more than one point lower, so it was chosen.",
        ),
        (
            [
                candidate("a", 0.9, 9, best=True),
                candidate("b", 0.88, 5, tie=True),
                candidate("c", 0.895, 6, tie=True, chosen=True),
            ],
            (
                "Of those at most one point lower c at 224 px is the cheapest (6 multiply-accumulates "
                "per image, 67 % of what the highest needs), so it was chosen."
            ),
        ),
        (
            [candidate("a", 0.9, None, best=True, chosen=True), candidate("b", 0.7, None)],
            "No other candidate is within one standard error of it, so it was chosen.",
        ),
        (
            [candidate("a", 0.9, 9, best=True), candidate("b", 0.7, 5, chosen=True)],
            "b at 224 px was chosen.",
        ),
    ],
)
def test_choice__claims_no_more_than_the_numbers_say(
    candidates: list[CandidateResult], ending: str
) -> None:
    said = choice(candidates)
    n = len(candidates)
    assert said.startswith(f"Of {n} candidates, a at 224 px has the highest")
    assert said.endswith(ending)


def test_contenders__keep_the_chosen_and_the_last_tap() -> None:
    many = [candidate(f"t{i}", 0.9 - 0.01 * i, 1, chosen=i == 7) for i in range(9)]
    kept = story.contenders(many, "t8", 4)
    assert [c.tap for c in kept] == ["t0", "t1", "t7", "t8"]


def test_confusions__most_frequent_first() -> None:
    found = story.confusions(["a", "b", "c"], np.array([[5, 1, 0], [3, 9, 0], [0, 1, 1]]))
    assert [(c.true, c.predicted, c.n, c.total) for c in found] == [
        ("b", "a", 3, 12),
        ("c", "b", 1, 2),
        ("a", "b", 1, 6),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no metrics.json"),
        ("{", "is damaged"),
        ("[]", "damaged"),
        ('{"schema": 2}', "newer Headstart"),
        ('{"schema": 1}', "is damaged"),
    ],
)
def test_write_report__foreign_run_folder(tmp_path: Path, content: str | None, said: str) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1}')
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(RunError, match=said):
        write_report(tmp_path, thumbnails={})
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (
            {"n_judged": 0},
            "cross-validation cannot judge any of 2 candidates: b at 224 px, the usual",
        ),
        ({"n_judged": 9, "is_default": True}, "not significantly better than b at 224 px"),
    ],
)
def test_choice__says_when_cross_validation_did_not_decide(
    selection: dict[str, Any], said: str
) -> None:
    rows = [candidate("a", 0.9, 1, best=True), candidate("b", 0.8, 2, chosen=True, baseline=True)]
    assert said in choice(rows, **selection)


def test_prose__parameters_are_code_and_units_stay_with_their_numbers() -> None:
    from headstart.runs.report.page import environment

    page = environment().from_string("{{ text | prose }}")
    said = page.render(text="`prefer='cheap'` loses 2.1 % at 160 px <b>")
    assert (
        said.replace('<span class="word">', "").replace("</span>", "")
        == "<code>prefer=&#39;cheap&#39;</code> loses 2.1\u00a0% at 160\u00a0px &lt;b&gt;"
    )
    assert page.render(text="the class `a") == "the class `a"


@pytest.mark.parametrize(
    ("n_judged", "n_suspicious", "said"),
    [
        (1, 0, "The one training label that cross-validation could judge does not count as wrong."),
        (1, 1, "The one training label that cross-validation could judge counts as wrong."),
        (9, 0, "None of 9 training labels"),
        (9, 1, "1 of 9 training labels that cross-validation could judge counts"),
    ],
)
def test_suspected__says_how_many_labels(n_judged: int, n_suspicious: int, said: str) -> None:
    found = metrics_from(tiny())
    given = replace(
        found,
        selection=replace(found.selection, n_judged=n_judged),
        n_suspicious=n_suspicious,
        suspicious=(),
    )
    assert story.suspected(given)[0].replace("\u00a0", " ").startswith(said)


def test_beside_fit__says_what_fit_does_otherwise() -> None:
    said = words.beside_fit("one layer", "5 training images")
    assert "averages several" in said
    assert "layers and resolutions" in said
    assert "resolutions" not in words.beside_fit("x", "y", has_all_layers=True)
    for has_all_layers in (False, True):
        assert "average" not in words.beside_fit("x", "y", "text", has_all_layers=has_all_layers)
