"""Class bins: what they take and refuse, and that their classifier is that of a fit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import DataError, InputError
from headstart.web.live import bins as module
from headstart.web.live import view
from headstart.web.live.bins import MAX_CLASSES, Bins, Fitted, Gone

Make = Callable[[], Bins]


@pytest.fixture(scope="module")
def make(tiny: Any, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """New bins on a small network."""
    return lambda: Bins(tmp_path_factory.mktemp("live") / "a", tiny, threading.Lock(), cache)


def filled(made: Bins, photos: Path, n: int, burst: str = "") -> Bins:
    """The two classes with n pictures each."""
    for old, new in zip(made.classes[:2], ("lying", "standing"), strict=True):
        made.rename_class(old, new)
        for i in range(n):
            content = (photos / new / f"{i}.png").read_bytes()
            made.add(new, content, file=f"{i}.png", burst=f"{burst}{new[0]}" if burst else "")
    return made


@pytest.fixture(scope="module")
def full(make: Make, photos: Path) -> Bins:
    return filled(make(), photos, 8)


@pytest.fixture(scope="module")
def fitted(full: Bins) -> Fitted:
    return full.fit()


def test_fit__says_what_is_missing_instead_of_a_figure(make: Make, photos: Path) -> None:
    made = make()
    with pytest.raises(InputError, match="two classes, 3 different"):
        made.fit()
    made.add("Class 1", (photos / "lying" / "0.png").read_bytes(), file="0.png")
    with pytest.raises(InputError, match="one more class"):
        made.fit()
    for i in range(2):
        made.add("Class 2", (photos / "standing" / f"{i}.png").read_bytes(), file="a.png")
    with pytest.raises(InputError, match="2 more of Class 1 and 1 more of Class 2"):
        made.fit()
    with pytest.raises(InputError, match="2 more of Class 1"):
        made.classify((photos / "lying" / "3.png").read_bytes(), "3.png")


def test_fit__pictures_of_one_burst_count_once(make: Make, photos: Path) -> None:
    made = filled(make(), photos, 4, burst="burst-1")
    with pytest.raises(InputError, match=r"2 more of lying .* one burst, and copies, count once"):
        made.fit()


def test_fit__measures_every_layer_by_cross_validation(full: Bins, fitted: Fitted) -> None:
    assert fitted.model.classes == ("lying", "standing")
    assert fitted.n_judged == 16
    assert fitted.accuracy.low < fitted.accuracy.value <= fitted.accuracy.high
    right = 16 - len(fitted.mistakes)
    assert fitted.accuracy.value == pytest.approx(right / 16)
    assert {c.blocks.resolution_label for c in fitted.candidates} >= {"160", "224"}
    assert full.fit() is fitted  # nothing changed


def test_fit__is_the_head_that_a_fit_of_the_same_features_gives(
    full: Bins, fitted: Fitted, tiny: Any, cache: Path
) -> None:
    """The second route: the SVM by hand on the stored features of the chosen layers."""
    from headstart.data import index
    from headstart.features import extract
    from headstart.heads import fit_rows
    from headstart.sources.image import ImageSource

    records = index(full.root, classes_from="outer").records
    stores = extract(records, tiny, resolutions=module.RESOLUTIONS, cache=cache).stores
    chosen = fitted.candidates[fitted.chosen]
    X = ImageSource(backbone=tiny, stores=stores).rows(chosen.blocks, records)
    coef, intercept = fit_rows(X, np.array([r.label for r in records]), chosen.scores.C)
    np.testing.assert_allclose(fitted.model.coef, coef, atol=1e-4)
    np.testing.assert_allclose(fitted.model.intercept, intercept, atol=1e-4)


def test_classify__gives_every_class_its_probability(
    full: Bins, fitted: Fitted, photos: Path
) -> None:
    top = full.classify((photos / "standing" / "2.png").read_bytes(), "2.png")
    assert next(label for label, _ in top) == "standing"
    assert sum(p for _, p in top) == pytest.approx(1)
    with pytest.raises(DataError, match=r"notes\.txt"):
        full.classify(b"no picture", "notes.txt")


def test_view__shows_figure_interval_and_map(fitted: Fitted) -> None:
    said = view.said(fitted)
    assert f"{100 * fitted.accuracy.value:.0f} %" in said
    assert f"between {100 * fitted.accuracy.low:.0f} %" in said
    assert "<svg" in view.layer_map(fitted)


def test_fit__keeps_features_and_thumbnails_with_the_pictures_alone(
    make: Make, photos: Path, cache: Path
) -> None:
    before = {p.name for p in cache.iterdir()}
    made = filled(make(), photos, 3)
    folder = made.root.parent
    made.fit()
    assert {p.name for p in cache.iterdir()} <= before | {"engines"}
    assert (folder / "cache" / "engines").samefile(cache / "engines")
    assert list((folder / "cache" / "features").rglob("*.arrow"))
    made.close()
    assert not folder.exists()
    assert (cache / "engines").is_dir()


def test_fit__the_choice_knows_which_pictures_belong_together(
    make: Make, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.runs import choose as rules

    asked: list[Any] = []
    real = rules.choose

    def noted(candidates: Any, labels: Any, usual: int, prior: Any, groups: Any = None) -> Any:
        asked.append(groups)
        return real(candidates, labels, usual, prior, groups)

    monkeypatch.setattr(rules, "choose", noted)
    made = filled(make(), photos, 3)
    content = (photos / "standing" / "5.png").read_bytes()
    [(first, _), *_] = made.pictures()["standing"]
    burst = made.path(first).name.partition("_")[0]
    made.add("standing", content, file="camera", burst=burst)
    made.fit()
    assert (len(asked[0]), len(set(asked[0]))) == (7, 6)


def test_close__waits_for_a_fit_and_every_later_request_is_told(
    make: Make, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(make(), photos, 3)
    content = (photos / "lying" / "7.png").read_bytes()
    began, go_on = threading.Event(), threading.Event()
    real, answers = module._fit, []

    def slow(*given: Any) -> Fitted:
        began.set()
        assert go_on.wait(30)
        return real(*given)

    monkeypatch.setattr(module, "_fit", slow)
    fitting = threading.Thread(target=lambda: answers.append(made.fit()))
    fitting.start()
    assert began.wait(60)
    closing = threading.Thread(target=made.close)
    closing.start()
    assert made.root.is_dir()
    go_on.set()
    closing.join(30)
    fitting.join(30)
    assert answers
    assert not made.root.parent.exists()
    for request in (
        made.fit,
        made.pictures,
        lambda: made.add("lying", content, file="a.png"),
        lambda: made.add_class("more"),
        lambda: made.classify(content, "a.png"),
        lambda: made.save(made.root),
    ):
        with pytest.raises(Gone, match="Begin again"):
            request()
    assert not made.root.parent.exists()


def test_add__takes_dicom_files_under_their_own_suffix(make: Make) -> None:
    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    content = Path(pydicom.data.get_testdata_file("CT_small.dcm")).read_bytes()
    made = make()
    made.add("Class 1", content, file="scan")
    [(digest, _)] = made.pictures()["Class 1"]
    assert made.path(digest).suffix == ".dcm"
    assert made.thumbnail(digest)[:2] == b"\xff\xd8"


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "GIF", "TIFF", "BMP", "PPM", "WEBP", "JPEG2000"])
def test_add__every_format_gets_a_suffix_that_data_sets_are_read_with(
    make: Make, kind: str
) -> None:
    import io

    from PIL import Image

    from headstart.data import IMAGE_SUFFIXES

    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(buffer, kind)
    made = make()
    made.add("Class 1", buffer.getvalue(), file="a")
    [(digest, _)] = made.pictures()["Class 1"]
    assert made.path(digest).suffix in IMAGE_SUFFIXES


def test_add__a_format_that_is_not_known_is_one_clear_line() -> None:
    with pytest.raises(DataError, match="odd"):
        module._suffix(b"no picture", "odd")


def test_add__has_a_budget_of_bytes(
    make: Make, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make()
    content = (photos / "lying" / "0.png").read_bytes()
    made.add("Class 1", content, file="a.png")
    assert made.n_bytes == len(content)
    monkeypatch.setattr(module, "MAX_VISITOR_MB", 0)
    with pytest.raises(InputError, match="more than 0 MB"):
        made.add("Class 1", (photos / "lying" / "1.png").read_bytes(), file="b.png")
    made.remove_class("Class 1")
    assert made.n_bytes == 0


def test_add__refuses_what_is_not_a_picture_is_there_or_too_much(
    make: Make, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make()
    for content in (b"", b"text", b"PK\x03\x04"):
        with pytest.raises(DataError, match="odd name") as caught:
            made.add("Class 1", content, file="odd\nname".replace("\n", " "))
        assert "\n" not in str(caught.value)
    content = (photos / "lying" / "0.png").read_bytes()
    made.add("Class 1", content, file="a.png")
    with pytest.raises(DataError, match="in the class 'Class 1' already"):
        made.add("Class 2", content, file="b.png")
    with pytest.raises(InputError, match="no class 'other'"):
        made.add("other", content, file="b.png")
    with pytest.raises(InputError, match="`burst`"):
        made.add("Class 2", content, file="b.png", burst="../x")
    monkeypatch.setattr(module, "MAX_PICTURES", 1)
    with pytest.raises(InputError, match="there are 1 pictures"):
        made.add("Class 1", (photos / "lying" / "1.png").read_bytes(), file="c.png")
    monkeypatch.setattr(module, "MAX_MB", 0)
    with pytest.raises(DataError, match="more than 0 MB"):
        made.add("Class 1", content, file="large.png")


def test_classes__are_added_renamed_and_removed_with_their_pictures(
    make: Make, photos: Path
) -> None:
    made = make()
    content = (photos / "lying" / "0.png").read_bytes()
    made.add("Class 1", content, file="a.png")
    made.rename_class("Class 1", "  lying   down ")
    assert made.classes == ["lying down", "Class 2"]
    [(digest, file)] = made.pictures()["lying down"]
    assert file == "a.png"
    assert made.path(digest).read_bytes() == content
    assert made.thumbnail(digest)[:2] == b"\xff\xd8"
    made.rename_class("lying down", "Lying down")  # only the case
    made.remove(digest)
    with pytest.raises(InputError, match="not here any more"):
        made.thumbnail(digest)
    made.remove_class("Class 2")
    assert list(made.pictures()) == ["Lying down"]


@pytest.mark.parametrize(
    "name", ["", "  ", "a/b", "..", ".x", "x.", "a\0b", 'a"', "CLASS 2", "y" * 41]
)
def test_add_class__refuses_names_that_no_folder_can_have(make: Make, name: str) -> None:
    made = make()
    for change in (made.add_class, lambda to: made.rename_class("Class 1", to)):
        with pytest.raises(InputError, match="class"):
            change(name)
    assert made.classes == ["Class 1", "Class 2"]
    assert sorted(p.name for p in made.root.iterdir()) == made.classes


def test_add_class__has_a_limit(make: Make) -> None:
    made = make()
    for i in range(3, MAX_CLASSES + 1):
        made.add_class(f"Class {i}")
    with pytest.raises(InputError, match="no more fit"):
        made.add_class("one more")


def test_save__copies_pictures_and_says_what_belongs_together(
    full: Bins, make: Make, photos: Path, tmp_path: Path
) -> None:
    from headstart.data import index

    assert full.save(tmp_path / "one") is None
    assert index(tmp_path / "one").counts().keys() == {"lying", "standing"}
    made = filled(make(), photos, 4)
    made.rename_class("lying", "burst-kart")
    for i in (4, 5):
        content = (photos / "standing" / f"{i}.png").read_bytes()
        made.add("standing", content, file="camera", burst="burst-zz")
    pattern = made.save(tmp_path / "two")
    found = index(tmp_path / "two", group_by=pattern, classes_from="outer")
    assert len({r.group for r in found.records}) == 9
