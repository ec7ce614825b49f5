"""`headstart store`: what a person sees and what a program reads."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.data import index
from headstart.features import FeatureStore
from headstart.features.inventory import take_inventory


@pytest.fixture
def cache(finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the store that a real fit filled."""
    shutil.copytree(finished[0].parent / "store", tmp_path / "cache")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "cache"


def shard(cache: Path) -> Path:
    return next(cache.glob("features/*/shard-*.arrow"))


def test_list__says_what_is_there_in_words(cache: Path, headstart: Callable) -> None:
    said = headstart("store", "list")
    assert said.code == 0, said
    assert f"{cache}: " in said.out
    for word in ("tf_efficientnet_lite0", "64", "float32 average", "12", time.strftime("%Y-%m-%d")):
        assert word in said.out, word
    assert "heads/" in said.out
    assert "cross-validated scores" in said.out
    found = json.loads(headstart("store", "list", "--json").out)
    assert [(k["n_rows"], k["size_px"]) for k in found["features"]] == [(12, 64)]
    assert found["n_bytes"] == sum(f.stat().st_size for f in cache.rglob("*") if f.is_file())
    assert {k["kind"] for k in found["other"]} >= {"heads", "images"}


@pytest.mark.parametrize("columns", ["80", "40"])
def test_list__cuts_no_date_and_no_size(
    columns: str, cache: Path, headstart: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    found = take_inventory(cache)
    said = headstart("store", "list").out
    n_kinds = len({item.kind for item in found.items if item.kind != "features"})
    assert said.count(time.strftime("%Y-%m-%d")) == len(found.features) + n_kinds
    assert "…" not in said
    assert all(len(line) <= int(columns) for line in said.splitlines()[1:])


def test_list__of_an_empty_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headstart: Callable
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "none"))
    said = headstart("store", "list")
    assert (said.code, said.out.splitlines()) == (0, [f"{tmp_path / 'none'}: 0 B"])
    assert headstart("store", "verify").code == 0
    assert not (tmp_path / "none").exists()


def test_verify__names_the_damaged_shard_and_how_to_mend(cache: Path, headstart: Callable) -> None:
    said = headstart("store", "verify")
    assert (said.code, said.out.splitlines()[-1]) == (0, "all as it should be")
    bad = shard(cache)
    bad.write_bytes(bad.read_bytes()[:-1])
    said = headstart("store", "verify")
    assert said.code == 1
    assert f"damaged  {bad.relative_to(cache)}: its bytes do not match its name" in said.out
    assert "headstart store prune --damaged" in said.out
    found = headstart("store", "verify", "--json")
    assert found.code == 1
    assert [d["path"] for d in json.loads(found.out)["damaged"]] == [str(bad)]
    assert headstart("store", "prune", "--damaged", "--yes").code == 0
    assert headstart("store", "verify").code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_verify__what_cannot_be_read_is_not_offered_for_removal(
    cache: Path, headstart: Callable
) -> None:
    shard(cache).chmod(0)
    said = headstart("store", "verify")
    assert said.code == 1
    assert "may be whole" in said.out


def test_prune__dry_run_and_no_answer_remove_nothing(cache: Path, headstart: Callable) -> None:
    before = {p: p.stat().st_size for p in cache.rglob("*")}
    said = headstart("store", "prune", "--to", "0", "--dry-run")
    assert said.code == 0
    assert "in all" in said.out
    said = headstart("store", "prune", "--to", "0")
    assert said.code == 2
    assert "add --yes" in said.err
    assert {p: p.stat().st_size for p in cache.rglob("*")} == before


@pytest.mark.parametrize(("answer", "is_gone"), [(True, True), (False, False)])
def test_prune__asks(
    cache: Path, headstart: Callable, monkeypatch: pytest.MonkeyPatch, answer: bool, is_gone: bool
) -> None:
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda text: asked.append(text) or answer)
    assert headstart("store", "prune", "--backbone", "embedded").code == 0
    assert asked == ["Remove it?"]
    assert (take_inventory(cache).features == []) == is_gone
    assert any(i.kind == "heads" for i in take_inventory(cache).items)


def test_prune__not_in_keeps_the_images_of_the_data(
    cache: Path, finished: tuple[Path, Path], tmp_path: Path, headstart: Callable
) -> None:
    data = tmp_path / "some"
    for label in ("dark", "bright"):
        (data / label).mkdir(parents=True)
        for i in range(3):
            shutil.copy(finished[0] / label / f"{i}.png", data / label)
    said = headstart("store", "prune", "--not-in", data, "--yes", "--json")
    assert said.code == 0, said
    [gone] = json.loads(said.out)["removed"]
    assert gone["n_rows"] == 6
    [key] = take_inventory(cache).features
    assert key.n_rows == 6
    table = next(iter(key.path.glob("shard-*")))
    assert all(r.digest in table.read_bytes().decode("latin-1") for r in index(data).records)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "prune needs a rule"),
        (["--to", "1GB", "--damaged"], "--to and --damaged exclude each other"),
        (["--to", "big"], "--to must be a size such as 5GB or 800MB; got 'big'"),
        (["--older-than", "soon"], "--older-than must be an age such as 30d"),
        (["--backbone", "vgg16"], "the store has no features of it; it has: timm:tf_eff"),
        (["--damaged", "--backbone", "embedded"], "leave --backbone out"),
        (["--not-in", "nowhere"], "no such folder"),
        (["--to", "1GB", "--json"], "--json cannot ask"),
    ],
)
def test_prune__bad_rules_are_one_line(
    cache: Path, fails: Callable, words: list[str], said: str
) -> None:
    before = sorted(cache.rglob("*"))
    assert said in fails("store", "prune", *words)
    assert sorted(cache.rglob("*")) == before


def test_compact__tells_how_many_there_are(cache: Path, headstart: Callable) -> None:
    said = headstart("store", "compact")
    assert (said.code, said.out) == (0, "nothing to merge: 1 shard\n")
    found = json.loads(headstart("store", "compact", "--json").out)
    assert (found["n_before"], found["n_after"]) == (1, 1)


def test_move__tells_the_variable_and_a_fit_there_reads_it(
    cache: Path, finished: tuple[Path, Path], tmp_path: Path, headstart: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    new = tmp_path / "a new place"
    said = headstart("store", "move", new)
    assert said.code == 0, said
    assert said.out.splitlines()[-1] == f"  export HEADSTART_CACHE='{new}'"
    assert not cache.exists()
    monkeypatch.setenv("HEADSTART_CACHE", str(new))
    from headstart.features import FeatureKey

    [key] = take_inventory(new).features
    facts = {k: v for k, v in key.key.items() if k != "schema"}
    facts["taps"] = tuple(map(tuple, facts["taps"]))
    digests = [r.digest for r in index(finished[0]).records]
    assert FeatureStore(FeatureKey(**facts)).missing(digests) == []


def test_move__into_itself_is_one_line(cache: Path, fails: Callable) -> None:
    assert "lie in each other" in fails("store", "move", cache / "inner")
