"""Labels in the files of other tools: what counts, what is refused image by image, what is refused whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.cli.app import run as command
from headstart.data import index
from headstart.data.annotations import annotated_cells
from headstart.data.texts import is_text_table
from headstart.errors import DataError, InputError

NAMES = [f"{c}{i}.png" for c in "ab" for i in range(3)]
WANTED = {name: {"a": "ant", "b": "bee"}[name[0]] for name in NAMES}


@pytest.fixture
def flat(tree: Any) -> Path:
    """Six pictures in one folder; more files are written beside them."""
    folder: Path = tree({name: i for i, name in enumerate(NAMES)})
    return folder


def coco(names: list[str], extra: dict[int, list[int]] | None = None) -> str:
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    of = {i: [1 if name.rpartition("/")[2][0] == "a" else 2] * 2 for i, name in enumerate(names)}
    of |= extra or {}
    annotations = [
        {"id": 0, "image_id": i, "category_id": c, "bbox": [0, 0, 1, 1]}
        for i, categories in of.items()
        for c in categories
    ]
    categories = [{"id": 0, "name": "insects"}, {"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def studio(names: list[str]) -> str:
    def task(name: str) -> dict[str, Any]:
        result = [{"type": "choices", "value": {"choices": [WANTED[name]]}}]
        return {
            "data": {"image": f"/data/upload/3/0123abcd-{name}"},
            "annotations": [
                {"result": [*result, {"type": "relation"}]},
                {"was_cancelled": True, "result": []},
            ],
        }

    return json.dumps([task(name) for name in names])


def voc(name: str, *labels: str) -> str:
    objects = "".join(f"<object><name>{label}</name></object>" for label in labels)
    return f"<annotation><filename>{name}</filename>{objects}</annotation>"


def labels(path: Path | str, **settings: Any) -> dict[str, str]:
    return {r.name: r.label for r in index(path, **settings).records}


FILES = {
    "coco.json": coco(NAMES),
    "studio.json": studio(NAMES),
    "short.json": json.dumps(
        [{"image": f"/data/upload/1/{n}", "choice": WANTED[n], "lead_time": 1.5} for n in NAMES]
    ),
    "records.json": json.dumps([{"file_name": n, "label": WANTED[n]} for n in NAMES]),
    "lines.jsonl": "\n".join(json.dumps({"file_name": n, "label": WANTED[n]}) for n in NAMES),
}


@pytest.mark.parametrize("name", FILES)
def test_index__reads_the_annotations_of_other_tools(flat: Path, name: str) -> None:
    (flat / name).write_text(FILES[name], encoding="utf-8")
    assert labels(flat / name) == WANTED
    assert not is_text_table(str(flat / name))


@pytest.mark.parametrize(
    "files",
    [
        {"metadata.csv": "file_name,label\n" + "".join(f"{n},{c}\n" for n, c in WANTED.items())},
        {"metadata.jsonl": FILES["lines.jsonl"]},
        {"_annotations.coco.json": coco(NAMES)},
        {
            "_classes.csv": "filename, ant, bee\n"
            + "".join(f"{n}, {int(c == 'ant')}, {int(c == 'bee')}\n" for n, c in WANTED.items())
        },
        {f"{Path(n).stem}.xml": voc(n, c, c) for n, c in WANTED.items()},
        {f"Annotations/{Path(n).stem}.xml": voc(n, c) for n, c in WANTED.items()},
    ],
    ids=["metadata.csv", "metadata.jsonl", "coco", "one column a class", "voc beside", "voc"],
)
def test_index__finds_annotations_in_a_folder(flat: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (flat / name).parent.mkdir(exist_ok=True)
        (flat / name).write_text(text, encoding="utf-8")
    found = index(flat)
    assert {r.name: r.label for r in found.records} == WANTED
    assert "not the names of folders" in found.notes[0]


def test_index__annotations_in_split_folders_give_the_split(tree: Any) -> None:
    names = [f"{c}{i}.png" for c in "ab" for i in range(2)]
    files: dict[str, Any] = {}
    for n, part in enumerate(("train", "valid", "test")):
        files |= {f"{part}/{name}": 10 * n + i for i, name in enumerate(names)}
        files[f"{part}/_annotations.coco.json"] = coco(names)
    found = index(tree(files))
    assert {(r.split, r.name.partition("/")[0]) for r in found.records} == {
        ("train", "train"), ("val", "valid"), ("test", "test"),
    }  # fmt: skip
    assert {r.label for r in found.records} == {"ant", "bee"}


def test_is_text_table__json_lines_of_images_and_of_texts_on_images(flat: Path) -> None:
    rows = [{"file_name": n, "label": c, "embedding": "0.1 " * 60_000} for n, c in WANTED.items()]
    (flat / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert not is_text_table(str(flat / "long.jsonl"))
    texts = [{"text": f"look at {n}", "label": c} for n, c in WANTED.items()]
    (flat / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    assert is_text_table(str(flat / "texts.jsonl"))


def test_index__metadata_without_labels_leave_the_class_folders_alone(tree: Any) -> None:
    folder = tree({f"{c}/{i}.png": 3 * n + i for n, c in enumerate("xy") for i in range(3)})
    (folder / "metadata.csv").write_text("file_name,camera\nx/0.png,3\n")
    assert set(labels(folder).values()) == {"x", "y"}


def test_index__an_image_with_no_class_or_several_is_quarantined(flat: Path) -> None:
    (flat / "c.json").write_text(coco(NAMES, {0: [], 3: [2, 1]}))
    found = index(flat / "c.json")
    assert {q.name for q in found.quarantine} == {"a0.png", "b0.png"}
    reasons = {q.name: q.reason for q in found.quarantine}
    assert "no class" in reasons["a0.png"]
    assert "several classes ('ant', 'bee')" in reasons["b0.png"]


def test_annotated_cells__reads_a_column_in_every_form(flat: Path) -> None:
    camera = {name: "old" if "1" in name else "new" for name in NAMES}
    of_coco, of_studio = json.loads(coco(NAMES)), json.loads(studio(NAMES))
    for image in of_coco["images"]:
        image["attributes"] = {"camera": camera[image["file_name"]]}
        image["class"] = f"{image['file_name']} class"
    for task, name in zip(of_studio, NAMES, strict=True):
        task["data"]["camera"] = camera[name]
    records = [{"file_name": n, "label": WANTED[n], "camera": camera[n]} for n in NAMES]
    files = {
        "coco.json": json.dumps(of_coco),
        "studio.json": json.dumps(of_studio),
        "records.json": json.dumps(records),
        "metadata.jsonl": "\n".join(map(json.dumps, records)),
    }
    for name, text in files.items():
        (flat / name).write_text(text)
        assert annotated_cells(flat / name, "camera") == camera, name
    assert annotated_cells(flat, "camera") == camera, "the metadata of the folder"
    assert annotated_cells(flat / "coco.json", "class") == {n: f"{n} class" for n in NAMES}
    grouped = index(flat / "coco.json", group_column="camera").records
    assert {r.name: r.label for r in grouped} == WANTED, (
        "a field called class is none of the annotations"
    )
    assert {r.group for r in index(flat / "coco.json", group_column="camera").records} == {
        "old",
        "new",
    }
    (flat / "metadata.jsonl").unlink()
    assert annotated_cells(flat, "camera") is None
    for name in NAMES:
        more = f"<source><camera>{camera[name]}</camera></source></annotation>"
        text = voc(name, WANTED[name]).replace("</annotation>", more)
        (flat / f"{name}.xml").write_text(text)
    assert annotated_cells(flat, "camera") == camera, "Pascal VOC"
    with pytest.raises(DataError, match=r"no column 'camra'; it has .*Did you mean 'camera'"):
        annotated_cells(flat, "camra")
    assert labels(flat) == WANTED, "further elements change nothing where none is asked for"


def test_index__damaged_xml_is_quarantined(flat: Path) -> None:
    for n, c in WANTED.items():
        (flat / f"{Path(n).stem}.xml").write_text(voc(n, c))
    (flat / "b2.xml").write_text("<annotation><filename>b2")
    found = index(flat)
    assert [q.name for q in found.quarantine] == ["b2.xml"]
    assert set(labels(flat)) == {*NAMES} - {"b2.png"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"a": 1}', "expected COCO"),
        ("[]", "expected COCO"),
        ("3", "expected COCO"),
        ('{"images": [{}], "annotations": [], "categories": []}', "looks like COCO"),
        ('{"images": 3, "annotations": [], "categories": []}', "looks like COCO"),
        ('[{"data": {"image": "a0.png"}, "annotations": [{}]}]', "looks like Label Studio"),
        ('[{"data": {"text": "a review"}, "annotations": []}]', "Label Studio"),
        (coco(["a0.png", "a1.png"], {0: [], 1: []}), "no image with one class"),
        (coco(["nowhere.png", "b.png"]), "nowhere.png"),
        ('[{"file_name": "a0.png"}]', "no label column"),
    ],
)
def test_fit__refuses_what_is_no_annotation_in_one_line(
    flat: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (flat / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json"):
        index(flat / "x.json")
    assert command(["fit", str(flat / "x.json"), "--out", str(flat / "run")]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line


def test_index__reads_what_fiftyone_exports(tree: Any) -> None:
    root: Path = tree({f"data/{name}": i for i, name in enumerate(NAMES)})
    targets: dict[str, Any] = {Path(name).stem: "ab".index(name[0]) for name in NAMES}
    targets["a1"] = {"label": 0, "confidence": 0.9}
    targets["a2"] = None
    targets["gone"] = 1
    path = root / "labels.json"
    path.write_text(json.dumps({"classes": ["ant", "bee"], "labels": targets}))
    wanted = {f"data/{name}": label for name, label in WANTED.items() if name != "a2.png"}
    for place in (root, path):
        found = index(place)
        assert {r.name: r.label for r in found.records} == wanted
        assert {q.name for q in found.quarantine} == {"data/a2.png", "data/gone"}
    words = {Path(n).stem: {"label": label, "confidence": 0.9} for n, label in WANTED.items()}
    path.write_text(json.dumps({"labels": words}))  # as `predict --fiftyone` writes it
    assert labels(root) == {f"data/{name}": label for name, label in WANTED.items()}
    for content in (
        {"classes": 3, "labels": {"a0": 3}},
        {"labels": {"a0": {"confidence": 1}}},
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match="looks like FiftyOne, but is not complete"):
            index(root)
    for wrong, said in (
        (7, "image 'a0' has the index 7, and there are 2 classes"),
        (-2, "image 'a0' has the index -2"),
        ([0, 1], r"image 'a0' has a list, \[0, 1\].*`multi_label`"),
        (True, "image 'a0' has True"),
        (0.5, "image 'a0' has 0.5"),
    ):
        path.write_text(json.dumps({"classes": ["ant", "bee"], "labels": {"a0": wrong}}))
        with pytest.raises(DataError, match=said):
            index(root)
    indices: dict[str, Any] = {Path(n).stem: "ab".index(n[0]) for n in NAMES}
    path.write_text(json.dumps({"classes": ["ant", "bee"], "labels": indices | {"a2": -1}}))
    assert labels(root) == wanted
    path.write_text(json.dumps({"labels": [1]}))
    with pytest.raises(DataError, match="not annotations of images"):
        index(root)


def test_index__fiftyone_names_that_differ_in_their_suffix_alone(tree: Any) -> None:
    names = ("a.jpg", "a.png", "b.png", "c.jpg.png", "c.jpg")
    root: Path = tree({f"data/{name}": i for i, name in enumerate(names)})
    path = root / "labels.json"
    targets = {"a.jpg": "ant", "a.png": "bee", "b": "bee", "c": "ant", "c.jpg": "bee"}
    path.write_text(json.dumps({"labels": targets}))
    assert labels(root) == {
        "data/a.jpg": "ant",
        "data/a.png": "bee",
        "data/b.png": "bee",
        "data/c.jpg": "ant",
        "data/c.jpg.png": "bee",
    }
    path.write_text(json.dumps({"labels": targets | {"a": "ant"}}))
    with pytest.raises(DataError, match=r"'data/a' may be 'data/a\.jpg', 'data/a\.png'"):
        index(root)
    path.write_text(json.dumps({"labels": {"a": "ant", "b": "bee"}}))
    with pytest.raises(DataError, match=r"'a' may be 'a.jpg' or 'a.png'"):
        index(root)


@pytest.mark.parametrize("name", ["list.json", "list.jsonl"])
def test_index__labels_that_are_lists_are_no_class(flat: Path, name: str) -> None:
    records = [{"file_name": n, "label": [0, 1] if i % 2 else [0]} for i, n in enumerate(NAMES)]
    lines = "\n".join(map(json.dumps, records))
    (flat / name).write_text(lines if name.endswith("l") else json.dumps(records), encoding="utf-8")
    with pytest.raises(DataError, match=r"are lists, such as \[0, 1\]: `multi_label"):
        index(flat / name)
    read = index(flat / name, multi_label=",", test_size=0.5)
    assert {r.target for r in read.records} <= {("0", "1"), ("0",), ("1",), ()}


def test_index__a_field_split_is_the_split_only_where_asked(flat: Path) -> None:
    content = json.loads(coco(NAMES))
    for i, image in enumerate(content["images"]):
        image |= {"split": "test" if i % 3 == 0 else "train", "camera": f"c{i % 3}"}
    (flat / "coco.json").write_text(json.dumps(content), encoding="utf-8")
    of_test = {"a0.png", "b0.png"}
    for group in (None, "camera"):
        found = index(flat / "coco.json", test_size=0.5, group_column=group)
        assert any("not taken as the split" in note for note in found.notes)
        assert {r.name for r in found.test} != of_test
    found = index(flat / "coco.json", test_size=0.5, group_column="split")  # not the split either
    assert {r.group for r in found.records} == {"test", "train"}
    assert len({r.group for r in found.test}) == 1
    assert any("not taken as the split" in note for note in found.notes)
    with pytest.raises(DataError, match=r"no column 'splits'.*'split'"):
        index(flat / "coco.json", split_column="splits")
    found = index(flat / "coco.json", split_column="split")
    assert sorted(r.name for r in found.test) == sorted(of_test)
    assert not any("not taken" in note for note in found.notes), found.notes


def test_index__a_field_holds_the_weights(flat: Path) -> None:
    content = json.loads(coco(NAMES))
    for i, image in enumerate(content["images"]):
        image["w"] = i + 1
    (flat / "coco.json").write_text(json.dumps(content), encoding="utf-8")
    found = index(flat / "coco.json", test_size=0.5, weight_column="w")
    assert sorted(r.weight for r in found.records) == list(range(1, len(NAMES) + 1))


@pytest.mark.parametrize("form", ["coco", "folder", "voc", "one hot"])
def test_index__reads_several_classes_of_annotations_as_labels(flat: Path, form: str) -> None:
    wanted = {"a0.png": (), "a1.png": ("ant",), "a2.png": ("ant",)}
    wanted |= {"b0.png": ("ant", "bee"), "b1.png": ("bee",), "b2.png": ("bee",)}
    where = flat
    if form == "voc":
        for name, own in wanted.items():
            (flat / f"{name[:-4]}.xml").write_text(voc(name, *own, *own[:1]), encoding="utf-8")
    elif form == "one hot":
        rows = [f"{n},{int('ant' in own)},{int('bee' in own)}" for n, own in wanted.items()]
        text = "\n".join(["filename,ant,bee", *rows])
        (flat / "_classes.csv").write_text(text, encoding="utf-8")
    else:
        where = flat / ("_annotations.coco.json" if form == "folder" else "instances.json")
        where.write_text(coco(NAMES, {0: [], 3: [1, 2, 1]}), encoding="utf-8")
        where = flat if form == "folder" else where
    found = index(where, multi_label=";")
    assert {r.name: r.target for r in found.records} == wanted
    assert not found.quarantine
    hint = [n for n in index(where).notes if "several classes" in n]
    assert len(hint) == 1
    assert hint[0].startswith("1 image of ")
    assert "`multi_label=';'`" in hint[0]


def test_index__refuses_numbers_of_annotations_and_labels_of_a_plain_folder(flat: Path) -> None:
    with pytest.raises(InputError, match="is neither"):
        index(flat, multi_label=";")
    (flat / "a.json").write_text(coco(NAMES), encoding="utf-8")
    with pytest.raises(InputError, match=r"is neither.*reads its classes as several labels"):
        index(flat / "a.json", target_column="width")
