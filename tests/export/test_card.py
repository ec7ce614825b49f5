"""The model card says what the run's files say, and no name breaks its Markdown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from headstart.export import card_text, export
from headstart.export.card import plain, prose
from headstart.heads import PairedDifference
from headstart.runs.run import Run


def test_card__has_figures_intervals_digests_and_licence(run: Run) -> None:
    text = card_text(run)
    assert str(run.metrics.test.accuracy) in text
    for digest in (run.provenance.backbone.digest, run.provenance.data.digest):
        assert digest in text
    assert "not stated (a local file)" in text
    for heading in ("Use", "Data", "Measured", "Classes", "Limits", "Licence"):
        assert f"\n## {heading}\n" in text
    assert "- Fewer than 10 test images of every class" in text
    assert text.count("| dawn |") == 1


def run_snippet(card: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the Python code of a card prints."""
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(code, {"__name__": "__main__"})
    return capsys.readouterr().out.strip()


def test_card__its_snippet_runs(
    run: Run, photos: Path, store: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    picture = photos / "dusk" / "0.png"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADSTART_CACHE", str(store))
    shutil.copytree(run.folder, "this-folder")
    shutil.copy(picture, "picture.jpg")
    assert run_snippet(card_text(run), capsys) == run.predict([picture])[0].label


def test_card__no_name_breaks_a_table_or_becomes_markup(run: Run) -> None:
    other = Run(run.folder)
    first, *others = run.metrics.per_class
    first = replace(first, name="<script>|[x](y)\n# a`")
    other.metrics = replace(run.metrics, per_class=(first, *others))
    text = card_text(other)
    assert "<script>" not in text.replace("\\<script\\>", "")
    [line] = [line for line in text.splitlines() if "script" in line and line.startswith("|")]
    assert line.replace("\\|", "").count("|") == 6


def test_plain__a_hard_space_is_a_space() -> None:
    assert plain("1.2\u00a0G of a|b") == "1.2 G of a\\|b"


def test_prose__parameters_stay_code_and_names_are_escaped() -> None:
    text = "A fit with `prefer='cheap'` takes `a|b` and <c>, " + "a word " * 100
    shown = prose(text)
    assert shown.startswith("A fit with `prefer='cheap'` takes \\`a\\|b\\` and \\<c\\>, ")
    assert shown.endswith("a word ")  # not cut


def test_card__without_test_images_says_that_it_flatters(run: Run) -> None:
    other = Run(run.folder)
    other.metrics = replace(run.metrics, test=None)
    assert "which flatters it" in card_text(other)


def test_card__front_matter_is_what_a_hub_reads(run: Run) -> None:
    import yaml

    _, block, _ = card_text(run, front_matter=True).split("---\n", 2)
    facts = yaml.safe_load(block)
    assert facts["pipeline_tag"] == "image-classification"
    assert facts["license"] == "other"


def test_card__of_a_file_says_how_it_was_checked(run: Run, tmp_path: Path) -> None:
    made = export(run, to="torchscript", out=tmp_path / "m.pt", n_check=3)
    text = made.card.read_text()
    assert "gives the class of PyTorch for 3 of 3 images" in text
    assert "`images`: uint8 (n, height, width, 3)" in text


def test_card__of_a_file_with_costs_says_how_to_apply_them() -> None:
    from headstart.export.card import _onnx_use

    assert "(probabilities[0] @ np.array(facts[" in _onnx_use("m.onnx", has_costs=True)
    assert "probabilities[0].argmax()" in _onnx_use("m.onnx", has_costs=False)


def test_card__snippet_of_a_file_is_that_of_the_guide() -> None:
    from headstart.export.card import _onnx_use

    page = Path(__file__).parents[2] / "docs" / "export.md"
    assert _onnx_use("photos.onnx", has_costs=False) in page.read_text("utf-8")


def test_card__names_the_candidates_of_a_mean_and_which_model_predicts(run: Run) -> None:
    from headstart.runs.result import (
        FinetuningResult,
        LogLossResult,
        MemberResult,
        ValidationResult,
    )

    other = Run(run.folder)
    cv = run.metrics.cv.accuracy
    difference = PairedDifference(0.0, -0.1, 0.1, 0.05, 1.0)
    loss = LogLossResult(finetuned=0.1, svm=0.1, gain=0.0, standard_error=0.1)
    validation = ValidationResult(
        n=9, finetuned=cv, balanced=cv, svm=cv, alone=cv, is_mean=False,
        difference=difference, gain=None, log_loss=loss,
    )  # fmt: skip
    members = tuple(
        MemberResult(tap=f"blocks.{i}", resolution="64", weight=w) for i, w in enumerate((0.6, 0.4))
    )
    other.metrics = replace(
        run.metrics,
        chosen=replace(run.metrics.chosen, members=members),
        finetuning=FinetuningResult(
            sentence="This run predicts with the network.", validation=validation
        ),
    )
    text = card_text(other)
    assert "a mean: 60 % blocks.0 at 64 px, 40 % blocks.1 at 64 px." in text
    assert "This run predicts with the network." in text
