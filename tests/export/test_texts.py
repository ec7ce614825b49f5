"""Exported runs on texts: the program says what the run says, in a process without Headstart."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import InputError, OutputError
from headstart.export import export
from headstart.export.facts import Port
from headstart.export.text_program import Classifier
from headstart.export.texts import TextCheck, TextFacts, card_of, check_program
from headstart.runs.run import Run
from headstart.sources.text import TextReader
from headstart.text import TextTraining, train_textcnn
from headstart.text.embeddings import learn_embeddings
from headstart.text.tfidf import Tfidf
from headstart.text.tokens import tokenize
from headstart.text.words import Vocabulary

TEXTS = [
    "a warm and funny film",
    "dull,  slow, tired -- don't",
    "un film très Drôle, 東京 \u0939\u093f",
    "x",
    "\t",
    "the plot is not cold " * 30,
    "zzz qqq",
]


def counts(run: Run) -> TextReader:
    return TextReader(parts=("words",), tfidf=(Tfidf.learn(TEXTS[:3], "words"),))


def average(run: Run) -> TextReader:
    vectors = learn_embeddings([tokenize(text) for text in TEXTS[:3]])
    return TextReader(parts=("average",), embeddings=vectors)


def layers(run: Run) -> TextReader:
    assert run.model.texts is not None
    return dataclasses.replace(run.model.texts, parts=(), tfidf=(), layers=("layer 2", "layer 5"))


def network(run: Run) -> TextReader:
    vocabulary = Vocabulary.build([tokenize(text) for text in TEXTS[:3]])
    rows = [vocabulary.encode(tokenize(text)) for text in TEXTS[:4]]
    settings = TextTraining(variant="rand", epochs=1, n_maps=4, n_features=8, max_words=20)
    trained = train_textcnn(rows, ["bad", "good"] * 2, vocabulary, None, settings)
    return TextReader(parts=("rand",), network=(trained, vocabulary))


def with_reader(run: Run, reader: TextReader) -> Run:
    """The run with a made-up head on other features."""
    model = dataclasses.replace(run.model, texts=reader)
    d = model.text_rows(TEXTS[:1]).shape[1]
    rng = np.random.default_rng(0)
    model = dataclasses.replace(
        model,
        coef=rng.normal(size=(2, d)),
        intercept=rng.normal(size=2),
        normalize="none" if reader.network else "l2",
        costs=((0.0, 5.0), (1.0, 0.0)),
    )
    other = Run(run.folder)
    other.model = model
    return other


def test_export__folder_runs_without_headstart_and_says_what_predict_says(
    text_run: Run, tmp_path: Path
) -> None:
    made = export(text_run, out=tmp_path / "reviews", n_check=5)
    names = {file.name for file in made.path.iterdir()}
    assert {"predict.py", "tokens.py", "encoder.onnx", "tokenizer.json", "README.md"} <= names
    assert made.check.n_same_class == 5
    assert made.check.sentence in made.card.read_text()
    # No path of this machine, and a process that cannot import Headstart.
    code = (
        "import sys, json; sys.modules['headstart'] = None; import predict; "
        "c = predict.Classifier(); t = json.load(sys.stdin); sys.argv[1:] = t[:1]; predict.main(); "
        "print(json.dumps([c.predict(t), c.probabilities(t).tolist(), c.predict([])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=made.path,
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=True,
    )
    shown, answers = done.stdout.splitlines()
    labels, P, none = json.loads(answers)
    wanted = text_run.model.of_texts(TEXTS)
    np.testing.assert_allclose(P, wanted, atol=1e-4)
    assert labels == [text_run.model.classes[i] for i in wanted.argmax(axis=1)]
    assert none == []
    assert shown.split("\t")[1:] == [labels[0], TEXTS[0]]


# An export by torch takes seconds however small the network is.
@pytest.mark.parametrize(
    "reader",
    [counts, average, *(pytest.param(f, marks=pytest.mark.slow) for f in (layers, network))],
)
def test_export__features_of_every_kind(
    reader: Callable[[Run], TextReader],
    text_run: Run,
    tmp_path: Path,
) -> None:
    run = with_reader(text_run, reader(text_run))
    made = export(run, out=tmp_path / "made", n_check=3)
    model = run.model
    found = check_program(made.path, model, TEXTS)
    assert found.max_difference < 1e-4
    classifier = Classifier(made.path)
    # The class of least expected cost.
    assert classifier.predict(TEXTS) == [
        model.classes[i] for i in model.decide(model.of_texts(TEXTS))
    ]


@pytest.mark.slow
def test_export__pooling_of_the_encoder_s_own(
    text_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_encoder import write_encoder

    for pooling, name in (("cls", "class token"), ("lasttoken", "last token")):
        encoder = write_encoder(tmp_path / pooling, pooling=pooling, arch="roberta")
        reader = TextReader(parts=(), layers=(f"layer 5 {name}", "layer 1"), encoder=encoder)
        monkeypatch.setattr("headstart.export.texts.locate_encoder", lambda *_, e=encoder: e)
        monkeypatch.setattr("headstart.runs.reader_files.locate_encoder", lambda *_, e=encoder: e)
        run = with_reader(text_run, reader)
        made = export(run, out=tmp_path / f"{pooling}-made", n_check=1)
        assert check_program(made.path, run.model, TEXTS).max_difference < 1e-4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": "torchscript"}, "`to` is for runs on images"),
        ({"precision": "int8"}, "`precision` is for runs on images"),
        ({"novelty": 0.9}, "`novelty` is for runs on images"),
        ({"n_check": 0}, "n_check"),
    ],
)
def test_export__options_of_images_are_refused(
    given: dict[str, Any], said: str, text_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        export(text_run, out=tmp_path / "made", **given)
    assert not (tmp_path / "made").exists()


def test_export__replaces_an_export_only(text_run: Run, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with pytest.raises(OutputError, match="is not an exported run on texts"):
        export(text_run, out=tmp_path / "letters", force=True)
    made = tmp_path / "made"
    made.mkdir()
    for name in ("predict.py", "model.json"):
        (made / name).write_text("")
    with pytest.raises(OutputError, match="exists already: choose another `out`"):
        export(text_run, out=made)
    (tmp_path / "link").symlink_to(made)
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    for link in ("link", "nowhere"):
        with pytest.raises(OutputError, match="is a symbolic link"):
            export(text_run, out=tmp_path / link, force=True)
    (made / "tokens.py").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match=r"cannot replace .*tokens\.py"):
        export(text_run, out=made, force=True)


@pytest.fixture
def counted(text_run: Run, tmp_path: Path) -> tuple[Run, Path]:
    """A run on TF-IDF alone, exported."""
    run = with_reader(text_run, counts(text_run))
    return run, export(run, out=tmp_path / "made", n_check=2).path


def test_export__force_keeps_the_notes_and_drops_what_is_no_longer_of_the_export(
    counted: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, made = counted
    (made / "notes.txt").write_text("mine")
    (made / "encoder.onnx").write_text("of an older export")
    monkeypatch.chdir(made)
    export(run, out=".", n_check=2, force=True)
    found = {file.name for file in made.iterdir()}
    names = ("predict.py", "tokens.py", "model.json", "model.npz", "README.md", "notes.txt")
    assert found == {*names}
    assert [file.name for file in made.parent.iterdir() if "made" in file.name] == ["made"]


def test_export__a_failed_replacement_leaves_the_old_export(
    counted: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, made = counted
    before = {file.name: file.stat().st_ino for file in made.iterdir()}
    rename = Path.rename

    def fails_at_last(self: Path, target: Path) -> Path:
        if self.name == "tokens.py" and self.parent.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails_at_last)
        with pytest.raises(OutputError, match="No space left"):
            export(run, out=made, n_check=2, force=True)
    assert {file.name: file.stat().st_ino for file in made.iterdir()} == before
    assert [file.name for file in made.parent.iterdir() if "made" in file.name] == ["made"]


def test_export__an_encoder_above_the_limit_of_onnx_is_refused(
    text_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.export.formats.ONNX_LIMIT_BYTES", 1000)
    with pytest.raises(InputError, match="an ONNX file holds 2 GiB: fit again with a smaller"):
        export(text_run, out=tmp_path / "made")
    assert not list(tmp_path.glob("*made*"))


def program(folder: Path, *words: str, code: str = "", **env: str) -> tuple[int, str, str]:
    """Run the program, or some code in its folder, in a process of its own."""
    done = subprocess.run(
        [sys.executable, *(["-c", code] if code else ["predict.py"]), *words],
        cwd=folder,
        input="",
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ""} | env,
    )
    return done.returncode, done.stdout, done.stderr


def test_program__snippets_of_card_and_docs_run_in_the_folder(counted: tuple[Run, Path]) -> None:
    docs = Path(__file__).parents[2] / "docs" / "export.md"
    snippets = [
        re.findall(r"```python\n(from predict import.*?)```", file.read_text(), flags=re.DOTALL)
        for file in (counted[1] / "README.md", docs)
    ]
    assert [len(found) for found in snippets] == [1, 1]
    code, out, err = program(counted[1], code="".join(found[0] for found in snippets))
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 2


def test_card__no_class_becomes_markup(counted: tuple[Run, Path]) -> None:
    run, made = counted
    port = Port(name="p", dtype="float32", shape=("n", 2))
    facts = TextFacts(
        headstart="1", classes=("<img src=x>", "[x](http://y)"), features="TF-IDF", inputs=(),
        output=port, costs=None, scale=1.0, is_unit=True,
    )  # fmt: skip
    text = card_of(run, facts, TextCheck(n_texts=1, n_same_class=1, max_difference=0.0), made)
    assert "\n\\<img src=x\\>, \\[x\\](http://y)\n" in text


def test_program__help_hyphens_and_an_ascii_terminal(counted: tuple[Run, Path]) -> None:
    made = counted[1]
    code, out, _ = program(made, "--help")
    assert (code, "predict.py < texts.txt" in out, "\t" in out) == (0, True, False)
    code, out, err = program(made, "--helo")
    assert (code, out, "unknown option --helo" in err) == (1, "", True)
    code, out, err = program(made, "--", "--help", "東京", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert [line.split("\t")[2] for line in out.splitlines()] == ["--help", r"\u6771\u4eac"]


def test_program__a_missing_package_is_named_with_the_command(counted: tuple[Run, Path]) -> None:
    made = counted[1]
    facts = json.loads((made / "model.json").read_text())
    facts["encoder"] = {"max_tokens": 8, "lowers_case": True, "weight": 1.0}
    (made / "model.json").write_text(json.dumps(facts))
    code = "import sys; sys.modules['tokenizers'] = None; import predict; predict.main()"
    found = program(made, "a text", code=code)
    assert found[:2] == (1, "")
    assert found[2].strip() == (
        "this classifier needs tokenizers: python -m pip install onnxruntime tokenizers"
    )


def test_program__texts_are_read_once(counted: tuple[Run, Path]) -> None:
    classifier = Classifier(counted[1])
    P = classifier.probabilities(TEXTS)
    assert classifier.labels(P) == classifier.predict(TEXTS)
