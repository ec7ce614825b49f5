"""The verbs that measure layers, sizes, backbones and the rule: pages, figures, one-line errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = "timm:test_efficientnet"


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network with random weights in place of the one asked for."""
    import headstart.backbones as room
    from headstart.backbones import loading

    def load(name: str, **_: Any) -> Any:
        return loading.load(TINY if name == "embedded" else name, pretrained=False)

    monkeypatch.setattr(room, "load", load)
    monkeypatch.setattr(loading, "check", lambda *_, **__: None)
    monkeypatch.setattr(loading, "require_weights", lambda _: None)


def test_profile__writes_the_page_and_says_the_answer(
    headstart: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("transfer", "profile", photos, "--resolutions", "32,48", "--mirror", "--whole")
    said = headstart(*words, "--out", out)
    assert said.code == 0, said.err
    assert "The usual layer, " in said.out
    found = json.loads((out / "profile.json").read_text())
    assert found["views"] == ["32", "48", "whole 32", "whole 48"]
    page = (out / "profile.html").read_text()
    assert "<svg" in page
    assert "its mirror image" in page
    assert "## Every layer at every resolution" in (out / "profile.md").read_text()


def test_profile__json_is_the_figures(
    headstart: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    said = headstart(
        "transfer", "profile", photos, "--resolutions", "32", "--max-blocks", 1,
        "--normalise", "power", "--pooling", "pyramid", "--json", "--out", tmp_path / "out",
    )  # fmt: skip
    found = json.loads(said.out)
    assert found["settings"]["pooling"] == "pyramid"
    assert [m["name"] for m in found["models"]] == [
        "usual layer",
        "best single block",
        "concatenation",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("profile", "--pooling", "min"), "--pooling must be average, max or pyramid"),
        (("profile", "--normalise", "l1"), "--normalise must be l2 or power"),
        (("profile", "--taps", "nothing"), "has no tap 'nothing'"),
        (("profile", "--resolutions", "big"), "--resolutions takes whole numbers"),
        (("size", "--sizes", "1,2,500"), "--sizes must lie between 1 and"),
        (("size", "--sizes", "1,2"), "3 different numbers of examples"),
        (("size", "--tap", "nothing"), "has no tap 'nothing'"),
        (("advice", "--distance", "0"), "--distance must be a number above 0"),
    ],
)
def test_transfer__bad_input_is_one_line(
    fails: Callable[..., str], photos: Path, words: tuple[str, ...], message: str
) -> None:
    verb, *options = words
    assert message in fails("--quiet", "transfer", verb, photos, *options)


def test_size__answers_and_checks(
    headstart: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = headstart(
        "transfer", "size", photos, "--size", 32, "--seeds", 2, "--more", 50, "--check",
        "--out", out,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "50 more images per class would bring" in said.out
    assert "too few images to check" in said.out
    assert "Does the forecast hold?" in (out / "size.md").read_text()


def test_compare__names_the_front(
    headstart: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = headstart(
        "compare", photos, "--backbones", f"{TINY},timm:test_resnet", "--size", 32, "--out", out
    )
    assert said.code == 0, said.err
    assert "Pareto front" in said.out
    found = json.loads((out / "compare.json").read_text())
    assert {c["name"] for c in found["candidates"]} == {TINY, "timm:test_resnet"}
    assert "parameters" in (out / "compare.html").read_text()


def test_compare__one_name_twice_is_one_line(fails: Callable[..., str], photos: Path) -> None:
    assert "--backbones" in fails("compare", photos, "--backbones", f"{TINY},{TINY}")


def test_compare__one_network_is_refused_before_anything_is_read(
    fails: Callable[..., str], tmp_path: Path
) -> None:
    said = fails("compare", tmp_path / "none", "--backbones", TINY)
    assert f"--backbones takes two networks or more to compare; got '{TINY}' alone" in said


def test_advice__sets_rule_and_measurement_side_by_side(
    headstart: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = headstart(
        "transfer", "advice", photos, "--distance", 0.1, "--size", 32, "--measure", "--epochs", 1,
        "--out", out,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "The rule: little data" in said.out
    found = json.loads((out / "advice.json").read_text())
    assert [a["name"] for a in found["comparison"]["arms"]][-2:] == ["upper", "all"]
    assert "What measured best" in (out / "advice.html").read_text()
