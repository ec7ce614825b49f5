"""The form for the columns of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import InputError

pytest.importorskip("gradio", reason="the extra web is not installed")

from headstart.data.offered import offered_columns
from headstart.web.tabs import train
from headstart.web.tabs.columns import (
    FLAGS,
    NUMBER,
    ONE,
    SEVERAL,
    column_settings,
    offer,
    turn,
    usual_choice,
)
from headstart.web.workspace import Workspace

ROWS = 'image,species,tags,age,is_a,"b, or c"\n1.png,cat,a;b,3,1,0\n2.png,dog,b,5,0,1\n'


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "photos.csv"
    path.write_text(ROWS, encoding="utf-8")
    return str(path)


def test_usual_choice__is_what_the_table_says(table: str, tmp_path: Path) -> None:
    assert usual_choice(offered_columns(table))[:2] == (ONE, "species")
    assert usual_choice(None)[:2] == (ONE, None)
    (tmp_path / "tags.csv").write_text(
        "image,label\n1.png,a;b\n2.png,b;c\n3.png,a;c\n", encoding="utf-8"
    )
    several = usual_choice(offered_columns(str(tmp_path / "tags.csv")))
    assert several[:3] == (SEVERAL, "label", ";")
    (tmp_path / "both.csv").write_text(
        "image,label,tags\n1.png,x,a;b\n2.png,y,b;c\n3.png,x,a;c\n", encoding="utf-8"
    )
    both = usual_choice(offered_columns(str(tmp_path / "both.csv")))
    assert both[:2] == (ONE, "label"), "as the command reads it"
    (tmp_path / "flags.csv").write_text("image,a,b\n1.png,1,0\n2.png,0,1\n", encoding="utf-8")
    task, column, _, flags, _ = usual_choice(offered_columns(str(tmp_path / "flags.csv")))
    assert (task, column, flags) == (FLAGS, None, ["a", "b"])


def test_offer__hides_the_form_where_there_is_no_table(table: str, tmp_path: Path) -> None:
    assert offer(table)[0].visible is True
    for other in (str(tmp_path), "", "digits"):
        assert offer(other)[0].visible is False


def test_turn__offers_the_columns_of_the_task(table: str) -> None:
    column, separator, labels = turn(table, NUMBER)
    assert ([c for c, _ in column.choices], column.value) == (["age"], "age")
    assert not separator.visible
    column, separator, labels = turn(table, SEVERAL)
    assert (column.value, separator.value, separator.visible) == ("tags", ";", True)
    column, separator, labels = turn(table, FLAGS)
    assert (column.visible, labels.visible) == (False, True)
    assert labels.value == ["is_a", "b, or c"]


def test_column_settings__gives_the_parameters_of_the_command(table: str, tmp_path: Path) -> None:
    def given(task: str | None, column: str | None = None, labels: list[str] | None = None) -> dict:
        return column_settings(table, task, column, ";", labels, None)

    assert given(None) == given(ONE, "species") == {}  # the usual column
    assert given(ONE, "tags") == {"label_column": "tags"}
    assert given(SEVERAL, "tags") == {"label_column": "tags", "multi_label": ";"}
    assert given(FLAGS, labels=["is_a", "b, or c"]) == {"label_columns": 'is_a,"b, or c"'}
    assert given(NUMBER, "age") == {"target_column": "age"}
    for task, field in ((FLAGS, "Label columns"), (NUMBER, "Number column")):
        with pytest.raises(InputError, match=field):
            given(task)
    assert column_settings(str(tmp_path), NUMBER, "age", ";", None, None) == {}, (
        "a folder has no columns"
    )


def test_unpack__takes_the_table_beside_the_pictures(photos: Path, tmp_path: Path) -> None:
    import zipfile

    def zipped(name: str, members: dict[str, str]) -> Path:
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file, inner in members.items():
                archive.write(file, inner)
            archive.writestr("__MACOSX/x", "")
        return path

    (tmp_path / "tags.csv").write_text(ROWS, encoding="utf-8")
    lying, standing = str(photos / "lying" / "1.png"), str(photos / "standing" / "1.png")
    table = str(tmp_path / "tags.csv")
    work = Workspace(tmp_path / "runs")
    for name, members in (
        ("flat", {table: "tags.csv", lying: "1.png"}),
        ("inner", {table: "all/tags.csv", lying: "all/1.png"}),
        ("apart", {table: "all/tags.csv", lying: "all/pictures/1.png"}),
    ):
        assert work.unpack(zipped(name, members)).name == "tags.csv", name
    readme = tmp_path / "README.txt"
    readme.write_text("Photos of cats, dogs\nThanks, all\n", encoding="utf-8")
    noted = {table: "tags.csv", lying: "1.png", str(readme): "README.txt"}
    assert work.unpack(zipped("noted", noted)).name == "tags.csv", "prose is not a table"
    assert work.unpack(zipped("prose", {str(readme): "README.txt", lying: "1.png"})).is_dir()
    for at in ("", "photos/", "all/photos/"):
        both = {table: "tags.csv", lying: f"{at}lying/1.png", standing: f"{at}standing/1.png"}
        assert work.unpack(zipped("classes", both)).is_dir(), "class folders say more"


@pytest.mark.parametrize("typed", ["~\0", "a\0b", "/\0", "~no-such-user/\0"])
def test_train_tab__a_nul_character_is_an_error_beside_the_field(typed: str) -> None:
    assert "NUL" in train._missing(typed)
    assert train._folders(typed) == [train.UP]
    assert offer(typed)[0].visible is False
    assert "type a folder" in train._todo(typed, None)


def test_todo__does_not_list_the_folder_around_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = train._todo(str(tmp_path / "nothing"), None)
    monkeypatch.setattr(Path, "iterdir", lambda _: pytest.fail("it is asked every second"))
    assert train._todo(str(tmp_path / "nothing"), None) == missing
    assert train._todo(str(tmp_path / "x" / "nothing"), None) == missing
    assert train._todo("digits", None) != missing
