"""The small valid files that are damaged: made once into a folder, ``<folder>/seeds/<kind>/...``.

python tests/trust/fuzz_world.py FOLDER
"""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SIZE_PX = 32
ARCH = "timm:test_resnet"


def main() -> None:
    """Make all seeds."""
    folder = Path(sys.argv[1])
    is_quick = "--quick" in sys.argv
    pictures(folder)
    tables(folder)
    networks(folder, is_quick)
    if not is_quick:
        texts(folder)
    word_vectors(folder)
    policies(folder)
    archives(folder)
    (folder / "done").write_text("")


def without_sums(run: Path) -> None:
    """As a run of before there were digests, so that what damages it gets past them."""
    (run / "SHA256SUMS").unlink()
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(facts | {"has_sums": False}), encoding="utf-8")


def keep(folder: Path, kind: str, name: str, data: bytes) -> Path:
    path = folder / "seeds" / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _pixels(seed: int = 0, shape: tuple[int, ...] = (33, 41, 3)) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def encoded() -> Iterator[tuple[str, str, bytes]]:
    """Kind, name and bytes of images: every mode, animation, pages, EXIF, profiles, thumbnails."""
    from PIL import Image

    rgb = Image.fromarray(_pixels())
    smooth = rgb.resize((8, 8)).resize((64, 48), Image.Resampling.BICUBIC)
    grey, palette = smooth.convert("L"), smooth.convert("P", palette=Image.Palette.ADAPTIVE)
    rgba = smooth.convert("RGBA")
    rgba.putalpha(grey)
    deep = Image.fromarray(np.arange(33 * 41, dtype=np.uint16).reshape(33, 41))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"

    def save(image: Any, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    frames = {"save_all": True, "append_images": [smooth.rotate(90 * i) for i in (1, 2)]}
    yield "jpeg", "rgb", save(smooth, "JPEG", exif=exif)
    yield "jpeg", "progressive", save(smooth, "JPEG", progressive=True, quality=50)
    yield "jpeg", "cmyk", save(smooth.convert("CMYK"), "JPEG")
    yield "jpeg", "grey", save(grey, "JPEG", comment=b"hello")
    yield "jpeg", "restarts", save(rgb, "JPEG", restart_marker_rows=1, subsampling=0)
    yield "jpeg", "mpo", save(smooth, "MPO", **frames)
    yield "png", "rgb", save(smooth, "PNG", exif=exif)
    yield "png", "palette", save(palette, "PNG", transparency=3)
    yield "png", "alpha", save(rgba, "PNG")
    yield "png", "grey and alpha", save(rgba.convert("LA"), "PNG")
    yield "png", "16 bits", save(deep, "PNG")
    yield "png", "1 bit", save(grey.convert("1"), "PNG")
    yield "png", "animated", save(smooth, "PNG", **frames)
    yield "gif", "palette", save(palette, "GIF", transparency=0)
    yield "gif", "animated", save(palette, "GIF", **frames, loop=0, duration=10)
    yield "gif", "interlaced", save(grey, "GIF", interlace=1)
    yield "webp", "lossy", save(smooth, "WEBP", exif=exif)
    yield "webp", "lossless", save(rgba, "WEBP", lossless=True)
    yield "webp", "animated", save(smooth, "WEBP", **frames)
    yield "tiff", "plain", save(rgb, "TIFF", exif=exif)
    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield "tiff", name, save(smooth, "TIFF", compression=name)
    yield "tiff", "fax", save(grey.convert("1"), "TIFF", compression="group4")
    yield "tiff", "cmyk", save(smooth.convert("CMYK"), "TIFF", compression="tiff_lzw")
    yield "tiff", "16 bits", save(deep, "TIFF")
    yield "tiff", "float", save(Image.fromarray(_pixels().mean(2).astype(np.float32)), "TIFF")
    yield "tiff", "pages", save(rgb, "TIFF", save_all=True, append_images=[grey])
    yield "other images", "bmp", save(palette, "BMP")
    yield "other images", "ppm", save(rgb, "PPM")
    yield "other images", "ascii ppm", b"P3\n2 2\n255\n" + b"1 2 3 " * 4
    yield "other images", "jp2", save(smooth, "JPEG2000")
    yield "other images", "avif", save(smooth, "AVIF")


def pictures(folder: Path) -> None:
    """Images of each kind, and a folder of two classes of whole ones."""
    from PIL import Image

    for kind, name, data in encoded():
        keep(folder, kind, name, data)
    for label, level in (("bright", 190), ("dark", 60)):
        (folder / "photos" / label).mkdir(parents=True)
        for i in range(8):
            noisy = np.random.default_rng(i + level).normal(level, 25, (40, 48, 3))
            image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
            image.save(folder / "photos" / label / f"{i}.png")


def tables(folder: Path) -> None:
    """Tables of images and of texts, and split files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [p.relative_to(folder).as_posix() for p in sorted(folder.glob("photos/*/*.png"))]
    rows = [(name, name.split("/")[1], ("train", "test")[i % 2]) for i, name in enumerate(names)]
    texts = [
        (f'the film is "{w}", number {i}', w, "train") for i, w in enumerate(["bad", "good"] * 6)
    ]

    def separated(header: tuple[str, ...], rows: Any, delimiter: str = ",") -> bytes:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
        return buffer.getvalue().encode()

    def parquet(header: tuple[str, ...], rows: Any, **options: Any) -> bytes:
        sink = pa.BufferOutputStream()
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), sink, **options)
        return bytes(sink.getvalue().to_pybytes())

    for kind, header, found in (
        ("tables of images", ("image", "label", "split"), rows),
        ("tables of texts", ("text", "label", "split"), texts),
    ):
        keep(folder, kind, "a.csv", separated(header, found))
        keep(folder, kind, "a.tsv", separated(header, found, "\t"))
        keep(folder, kind, "utf-16.csv", separated(header, found).decode().encode("utf-16"))
        keep(folder, kind, "a.parquet", parquet(header, found))
        keep(folder, kind, "zstd.parquet", parquet(header, found, compression="zstd"))
        keep(folder, kind, "plain.parquet", parquet(header, found, use_dictionary=False))
    lines = [json.dumps(dict(zip(("text", "label"), row[:2], strict=True))) for row in texts]
    keep(folder, "tables of texts", "a.jsonl", "\n".join(lines).encode())
    lines = [f"{split},{name.split('/', 1)[1]}" for name, _, split in rows]
    keep(folder, "split files", "a.csv", "\n".join(lines).encode())
    keep(folder, "split files", "header.csv", "\n".join(["split,image", *lines]).encode())
    pairs = [line.split(",") for line in lines]
    keep(folder, "split files", "a.parquet", parquet(("split", "path"), pairs))


def networks(folder: Path, is_quick: bool) -> None:
    """Weight files, a training's checkpoint, a trained network, a run on images."""
    import torch
    from safetensors.torch import save, save_file

    import headstart
    from headstart.backbones import load
    from headstart.data import index, training_records
    from headstart.export import export
    from headstart.training import TrainSettings, train

    state = load(ARCH, pretrained=False, seed=1).module.state_dict()
    weights = folder / "net.safetensors"
    save_file(state, weights)
    few = dict(list(state.items())[:6])
    keep(folder, "weight files", "a.safetensors", save(few))
    for name, value, how in (
        ("a.pth", few, {}),
        ("legacy.pth", few, {"_use_new_zipfile_serialization": False}),
        ("checkpoint.pth", {"state_dict": few, "epoch": 3, "args": {"lr": 0.1}}, {}),
    ):
        buffer = io.BytesIO()
        torch.save(value, buffer, **how)
        keep(folder, "weight files", name, buffer.getvalue())
    options: dict[str, Any] = {"weights": str(weights), "arch": ARCH, "resolutions": (SIZE_PX,)}
    options |= {"Cs": (1.0,), "n_folds": 2, "precision": "float32", "device": "cpu"}
    out = folder / "runs" / "photos"
    headstart.fit(folder / "photos", out=out, cache=folder / "cache", **options)
    export(headstart.load(out), to="safetensors", out=folder / "exported.safetensors")
    keep(folder, "exported classifiers", "a", (folder / "exported.safetensors").read_bytes())
    without_sums(out)
    if is_quick:
        return
    found = index(folder / "photos", cache=folder / "cache")
    records = training_records(found)
    settings = TrainSettings(epochs=1, batch_size=8, size_px=SIZE_PX, lr=3e-3, bn="batch")
    trained = train(
        load(weights=weights, arch=ARCH), records[:8], records[8:], ("bright", "dark"), settings,
        folder=folder / "training", cache=folder / "cache", device="cpu",
    )  # fmt: skip
    trained.save(folder / "trained.safetensors")
    keep(folder, "trained networks", "a", (folder / "trained.safetensors").read_bytes())
    keep(folder, "checkpoints", "a", (folder / "training" / "checkpoint.safetensors").read_bytes())


def texts(folder: Path) -> None:
    """Two runs on texts, one of terms and one of word vectors, and a text network."""
    import headstart
    from headstart.text import save_textcnn, train_textcnn
    from headstart.text.settings import TextTraining
    from headstart.text.tokens import tokenize
    from headstart.text.words import Vocabulary

    words = {"good": ("moving", "bright", "funny"), "bad": ("dull", "slow", "tired")}
    rows = [
        (f"the film number {i} is {words[label][i % 3]} and has an ending", label)
        for i in range(30)
        for label in words
    ]
    path = folder / "reviews.csv"
    path.write_text("text,label\n" + "\n".join(",".join(row) for row in rows), encoding="utf-8")
    headstart.fit(
        path, out=folder / "runs" / "reviews", cache=folder / "cache", finetune=False, n_folds=2
    )
    without_sums(folder / "runs" / "reviews")
    tokens = [tokenize(text) for text, _ in rows]
    vocabulary = Vocabulary.build(tokens)
    classes = tuple(sorted(words))
    plan = TextTraining(variant="static", epochs=1, n_maps=4, widths=(2, 3))
    vectors = np.random.default_rng(0).normal(size=(len(vocabulary), 8)).astype(np.float32)
    trained = train_textcnn(
        [vocabulary.encode(t) for t in tokens],
        [label for _, label in rows],
        vocabulary,
        vectors,
        plan,
    )
    assert trained.classes == classes
    save_textcnn(folder, trained, vocabulary)
    keep(folder, "text networks", "a", (folder / "textcnn.safetensors").read_bytes())


def word_vectors(folder: Path) -> None:
    """Each format that is read."""
    import gzip

    words = ["film", "good", "bad", "Paris", "naïve"]
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype("<f4")
    lines = [f"{w} {' '.join(f'{x:.4f}' for x in v)}" for w, v in zip(words, vectors, strict=True)]
    glove = "\n".join(lines).encode() + b"\n"
    binary = b"".join(
        w.encode() + b" " + v.tobytes() + b"\n" for w, v in zip(words, vectors, strict=True)
    )
    for name, data in (
        ("glove", glove), ("word2vec", b"5 4\n" + glove), ("binary", b"5 4\n" + binary),
        ("gzip", gzip.compress(b"5 4\n" + glove)),
    ):  # fmt: skip
        keep(folder, "word vectors", name, data)


def policies(folder: Path) -> None:
    """Policies as JSON: a plain one and a learnt one."""
    from headstart.augment.policy import Policy, parse_policy
    from headstart.augment.subpolicies import Choice

    step = (
        Choice(operation="rotate", weight=0.5, probability=0.5, magnitude=0.2),
        Choice(operation="invert", weight=0.5, probability=0.1, magnitude=0.0),
    )
    learnt = Policy(name="learnt", sub_policies=((step, step), (step,)))
    for name, policy in (("mixup", parse_policy("mixup:alpha=0.4")), ("learnt", learnt)):
        keep(folder, "policies", name, json.dumps(policy.to_dict()).encode())


def archives(folder: Path) -> None:
    """Archives of pictures, packed and not."""
    for name, how in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", how) as archive:
            for path in sorted(folder.glob("photos/*/[0-3].png")):
                archive.write(path, path.relative_to(folder).as_posix())
        keep(folder, "archives", name, buffer.getvalue())


if __name__ == "__main__":
    main()
