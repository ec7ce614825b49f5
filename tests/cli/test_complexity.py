"""``headstart complexity``."""

from __future__ import annotations

import json
from pathlib import Path


def test_complexity__draws_the_catalogue(headstart, tmp_path: Path) -> None:
    said = headstart("complexity", "--out", tmp_path)
    assert said.code == 0
    assert "is at least as accurate as vgg16" in said.out
    page = (tmp_path / "complexity.html").read_text(encoding="utf-8")
    assert "the metadata of its weights" in page
    assert (tmp_path / "complexity-0.svg").is_file()


def test_complexity__of_some_networks(headstart, tmp_path: Path) -> None:
    words = ("complexity", "resnet50", "vgg16", "alexnet", "--reference", "resnet50")
    found = json.loads(headstart(*words, "--out", tmp_path, "--json").out)
    assert [r["name"] for r in found["networks"]] == ["alexnet", "resnet50", "vgg16"]
    assert [r["name"] for r in found["front"]] == ["alexnet", "resnet50"]
    assert found["sentence"].endswith("resnet50 among them.")


def test_complexity__says_bad_input_in_one_line(fails, tmp_path: Path) -> None:
    said = fails("complexity", "resnet5", "--out", tmp_path)
    assert "publishes no figures of 'resnet5'. Did you mean 'resnet50'" in said
    said = fails("complexity", "--reference", "vgg61", "--out", tmp_path)
    assert "publishes no figures of 'vgg61'" in said
    assert "leave the names out" in fails("complexity", "vgg16", "--all", "--out", tmp_path)
