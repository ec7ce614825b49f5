"""Sentence encoders on this machine: how they are found, what is read of their files, bad ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError, WeightsError
from headstart.text.encoders import (
    encoder_digest,
    encoder_macs,
    find_encoder,
    obtain_encoder,
    read_encoder,
    stated_licence,
)
from tiny_encoder import INNER, N_LAYERS, N_POSITIONS, WIDTH, write_encoder

pytest.importorskip("tokenizers", reason="headstart[text] is not installed")


@pytest.fixture
def copy(tiny_encoder, tmp_path) -> Path:
    return shutil.copytree(tiny_encoder, tmp_path / "copy")


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_read_encoder__layers_pooling_and_limits(tiny_encoder) -> None:
    found = read_encoder(tiny_encoder)
    assert (found.arch, found.n_layers, found.max_tokens) == ("bert", N_LAYERS, 32)
    assert found.taps == found.own_taps == tuple(f"layer {i}" for i in range(1, N_LAYERS + 1))


@pytest.mark.parametrize(
    ("pooling", "own"), [("cls", "layer 5 class token"), ("lasttoken", "layer 5 last token")]
)
def test_read_encoder__its_own_pooling_is_beside_the_mean(tmp_path, pooling, own) -> None:
    found = read_encoder(write_encoder(tmp_path / "e", pooling=pooling))
    assert len(found.taps) == 2 * N_LAYERS
    assert (found.taps[0], found.own_taps[-1]) == ("layer 1", own)
    assert [found.layer_of(tap) for tap in ("layer 3", own)] == [3, 5]


def test_read_encoder__folder_of_transformers_has_no_modules(copy) -> None:
    (copy / "modules.json").unlink()
    (copy / "sentence_bert_config.json").unlink()
    assert read_encoder(copy).max_tokens == N_POSITIONS


def test_read_encoder__older_layout_keeps_the_network_in_a_folder(copy) -> None:
    inner = copy / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (copy / name).rename(inner / name)
    modules = json.loads((copy / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (copy / "modules.json").write_text(json.dumps(modules))
    assert read_encoder(copy).folder == inner.resolve()


def test_read_encoder__modules_that_are_not_used_are_named(copy, caplog) -> None:
    modules = json.loads((copy / "modules.json").read_text())
    modules.append({"path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (copy / "modules.json").write_text(json.dumps(modules))
    read_encoder(copy)
    assert "the module Dense" in caplog.text


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", None, "there is no config.json"),
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"[]", "does not hold a JSON dict"),
        ("config.json", b'{"model_type": "bert"}', "has no num_hidden_layers"),
        ("config.json", b'{"num_hidden_layers": "six"}', "num_hidden_layers in config.json is 'six'"),
        ("config.json", b'{"num_hidden_layers": -1}', "num_hidden_layers in config.json is -1"),
        ("modules.json", b"[]", "does not list modules"),
        ("modules.json", b'[{"path": "", "type": "a.WordEmbeddings"}]', "first module is a.WordEmb"),
        ("modules.json", b'[{"path": "../..", "type": "a.Transformer"}]', "outside of it"),
        ("model.safetensors", None, "there are no weights"),
        ("tokenizer.json", None, "there is no tokenizer.json"),
    ],
)  # fmt: skip
def test_read_encoder__what_is_wrong_is_told_in_one_line(copy, file, content, said) -> None:
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_bytes(content)
    with pytest.raises(WeightsError, match="does not hold a usable sentence encoder") as caught:
        read_encoder(copy)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_encoder_digest__only_files_that_decide_features_count(copy) -> None:
    before = encoder_digest(copy)
    (copy / "README.md").write_text("about")
    (copy / "onnx").mkdir()
    (copy / "onnx" / "model.onnx").write_bytes(b"other")
    assert encoder_digest(copy) == before
    for file in ("1_Pooling/config.json", "config.json", "sentence_bert_config.json"):
        change(copy / file, extra=1)
        assert encoder_digest(copy) != before
        before = encoder_digest(copy)


def test_encoder_macs__weights_of_the_layers_once_a_token(tiny_encoder) -> None:
    a_layer = 4 * WIDTH * (WIDTH + 1) + 2 * WIDTH * INNER + INNER + WIDTH + 4 * WIDTH
    found = read_encoder(tiny_encoder)
    assert encoder_macs(found, 2.5) == pytest.approx(2.5 * N_LAYERS * a_layer, rel=0.01)
    assert encoder_macs(found, 1, 1) == pytest.approx(a_layer, rel=0.01)


def test_find_encoder__folder(tiny_encoder) -> None:
    assert find_encoder(str(tiny_encoder)) == tiny_encoder.resolve()


@pytest.mark.parametrize("mark", ["modules.json", "config.json"])
def test_find_encoder__installed_package_is_not_run(monkeypatch, tmp_path, mark) -> None:
    name = f"carries_one_{mark[:6]}"
    package = tmp_path / "site" / name
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('run')")
    (package / "model" / mark).write_text("{}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find_encoder(name) == package / "model"


@pytest.mark.parametrize("name", ["someone/encoder", "transformers:someone/encoder"])
def test_find_encoder__name_in_the_hubs_cache(monkeypatch, tmp_path, name) -> None:
    home = tmp_path / "models--someone--encoder"
    (home / "snapshots" / "abc").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="someone/encoder"):  # its download was interrupted
        find_encoder(name)
    (home / "snapshots" / "abc" / "model.safetensors").touch()
    assert find_encoder(name) == home / "snapshots" / "abc"


@pytest.mark.parametrize("name", ["none", "json", "nobody/nothing", "a/b/c", "x" * 300])
def test_find_encoder__nothing_of_that_name(name, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataError, match=r"no such folder of a sentence encoder.*OWNER/NAME on the hub"
    ):
        find_encoder(name)


def test_find_encoder__an_empty_name_and_a_file_are_said_to_be_such(tmp_path) -> None:
    with pytest.raises(DataError, match="`encoder` is empty: give a folder"):
        find_encoder(" ")
    (tmp_path / "reviews.csv").touch()
    with pytest.raises(DataError, match=r"reviews\.csv' is a file, and `encoder` takes a folder"):
        find_encoder(str(tmp_path / "reviews.csv"))


def test_find_encoder__a_folder_beside_wins_over_a_package(monkeypatch, tmp_path) -> None:
    (tmp_path / "numpy").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_encoder("numpy") == tmp_path / "numpy" != Path(np.__file__).parent


def test_obtain_encoder__is_found_here_first(tiny_encoder) -> None:
    assert obtain_encoder(str(tiny_encoder)) == tiny_encoder.resolve()


@pytest.mark.parametrize(
    "name", ["nobody/nothing", "transformers:nobody/nothing", "transformers:old"]
)
def test_obtain_encoder__no_network_is_told_in_one_line(name, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set") as caught:
        obtain_encoder(name)
    assert "is not on this machine" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nothing", "a/b/c", "transformers:a/b/c", "../up/there", "a b/c", "../encoder"]
)
def test_obtain_encoder__names_that_the_hub_cannot_have_are_not_asked_for(
    name, monkeypatch
) -> None:
    monkeypatch.setattr("headstart.text.encoders.fetch_repository", None)
    with pytest.raises(DataError, match="no such folder of a sentence encoder"):
        obtain_encoder(name)


def test_obtain_encoder__takes_weights_of_pytorch_where_there_are_no_others(
    monkeypatch, tmp_path
) -> None:
    asked = []

    def fetch(name, patterns, **told) -> Path:
        asked.append((name, patterns[-1]))
        if patterns[-1].endswith(".bin"):
            (tmp_path / "pytorch_model.bin").touch()
        return tmp_path

    monkeypatch.setattr("headstart.text.encoders.fetch_repository", fetch)
    assert obtain_encoder("transformers:someone/else") == tmp_path
    assert [p for _, p in asked] == ["model*.safetensors", "pytorch_model*.bin"]
    assert asked[0][0] == "someone/else"


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A net\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: 'gemma'\n---\n", "gemma"),
        ("# A net\nlicense: mit\n", "not stated"),
        ("---\nlicense:\n- mit\n---\n", "not stated"),
        ("---\r\nlicense:  mit \r\n---\r\n", "mit"),
        ("---\nlicense: mit\n", "not stated"),
        ("---\nlicense: a" + " " * 30_000 + "b\n---\n", "a" + " " * 58 + "…"),
        ("---\nlicense: mit\n---\n" + "long " * 50_000, "mit"),
        ("", "not stated"),
        (None, "not stated"),
    ],
)
def test_stated_licence__is_that_of_the_model_card(
    card: str | None, licence: str, tmp_path: Path
) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert stated_licence(tmp_path) == licence


def test_obtain_encoder__warns_of_a_licence_that_is_not_free(tmp_path, caplog) -> None:
    folder = write_encoder(tmp_path / "net")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    for _ in range(2):
        obtain_encoder(str(folder))
    assert caplog.text.count("not for commercial use: cc-by-nc-4.0") == 1
