"""What is damaged, and who must bear it: each kind of file with its reader.

A reader takes one damaged file. It may take it, or refuse it by a `HeadstartError`; all else is a
defect. What it gives is looked at too: a picture must be one, a command must say one clear line.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_requests
import mutation
from mutation import Defect, Mutator

from headstart.results import encode

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of file.

    Attributes
    ----------
    name : str
    mutate : function of bytes, a `random.Random` and other files' bytes
    read : function of the world's folder, a scratch folder, the seed's name and the damaged bytes
    limit_bytes : int
        Of memory beyond what was there before.
    limit_s : float
        Of processor time.
    seeds : str
        Folder of the seeds, where it is not called like the kind.
    n_long, n_quick : int
        Cases of the long form and of the quick one.
    n_warm : int, optional
        Seeds that a process reads whole before its cases; default all.
    """

    name: str
    mutate: Mutator
    read: Callable[[Path, Path, str, bytes], str | None]
    limit_bytes: int = 256 * MIB
    limit_s: float = 10.0
    n_long: int = 1200
    n_quick: int = 12
    n_warm: int | None = None


def seeds_of(kind: Kind, world: Path) -> list[tuple[str, bytes]]:
    """Name and bytes of each seed."""
    if kind.name.startswith("runs on"):
        run = _run(kind.name, world)
        files = [p for p in sorted(run.rglob("*")) if p.is_file()]
        return [(p.relative_to(run).as_posix(), p.read_bytes()) for p in files]
    if kind.name == "large images":
        return list(_large())
    if kind.name.startswith("requests"):
        # The server takes chunks apart, not the application.
        on_wire = kind.name.endswith("wire")
        return [(n, d) for n, d in fuzz_requests.seeds(world) if on_wire or n != "chunked"]
    return [(p.name, p.read_bytes()) for p in sorted((world / "seeds" / kind.name).iterdir())]


def damaged(kind: Kind, world: Path, number: int, seed: int = 0) -> tuple[str, bytes]:
    """The seed's name and the bytes of a case; the same for the same number."""
    rng = random.Random(f"{kind.name} {seed} {number}")
    seeds = _seeds(kind, world)
    name, data = rng.choice(seeds) if kind.mutate is not mutation.leave else seeds[number]
    others = [d for _, d in seeds]
    mutate = kind.mutate
    if kind.name.startswith("runs on"):
        mutate = _of_run(name)
    return name, mutate(data, rng, others)


@functools.cache
def _seeds(kind: Kind, world: Path) -> list[tuple[str, bytes]]:
    return seeds_of(kind, world)


def _of_run(name: str) -> Mutator:
    if name.endswith(".safetensors"):
        return mutation.mutate_safetensors
    return mutation.mutate_json if name.endswith(".json") else mutation.mutate_text


def _write(scratch: Path, name: str, data: bytes) -> Path:
    path = scratch / name
    path.write_bytes(data)
    return path


def read_image(world: Path, scratch: Path, name: str, data: bytes) -> str:
    """As `index`, `extract` and `serve` read it."""
    import numpy as np

    from headstart.data.decode import read_rgb
    from headstart.data.inspection import THUMB_VALUES, facts_of
    from headstart.errors import DataError, one_line

    facts = facts_of(data)
    if facts.reason != one_line(facts.reason) or "ran out of memory" in facts.reason:
        raise Defect(f"the reason is {facts.reason!r}")
    if not facts.reason and len(facts.thumb) != THUMB_VALUES:
        raise Defect(f"a thumbnail of {len(facts.thumb)} bytes")
    try:
        picture = read_rgb(data, at_least=32)
        whole = read_rgb(data)
    except DataError:
        if not facts.reason:
            raise
        return "refused"
    if facts.reason:
        raise Defect(f"it is read, and was refused before: {facts.reason}")
    if picture.mode != "RGB" or whole.size != (facts.width, facts.height):
        raise Defect(f"{whole.mode} {whole.size} for {facts.width} x {facts.height}")
    np.asarray(whole).sum()
    return "taken"


def _large() -> Any:
    """Whole images of as many pixels as are taken, and small files that would need hours."""
    from PIL import Image

    side = 10_000

    def save(image: Any, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"):
        yield f"png {mode}", save(Image.new(mode, (side, side)), "PNG", compress_level=1)
    palette = Image.new("P", (side, side))
    yield "png with transparency", save(palette, "PNG", transparency=0, compress_level=1)
    yield "gif", save(palette, "GIF")
    for mode in ("CMYK", "F", "I"):
        yield f"tiff {mode}", save(Image.new(mode, (side, side)), "TIFF", compression="tiff_lzw")
    yield "jpeg CMYK", save(Image.new("CMYK", (side, side)), "JPEG")
    yield "webp", save(Image.new("RGB", (16_000, 6_000)), "WEBP", method=0)
    yield "jpeg of many passes", many_passes(9_000, 20_000)


def many_passes(side: int, n: int) -> bytes:
    """A progressive JPEG of `n` passes, each of which is 11 bytes and goes over the whole picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    at = data.index(b"\xff\xc2") + 5
    data = data[:at] + side.to_bytes(2, "big") * 2 + data[at + 4 :]
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * n + b"\xff\xd9"


def read_image_table(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.data import index
    from headstart.data.texts import is_text_table

    path = _write(world, f"damaged-{scratch.name}-{name}", data)
    try:
        is_text_table(str(path))
        _check_index(index(path, cache=scratch / "cache"))
    finally:
        path.unlink()


def read_split(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.data import index

    path = _write(scratch, name, data)
    _check_index(index(world / "photos", split=path, cache=scratch / "cache"))


def read_text_table(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.data.texts import index_texts, is_text_table

    path = _write(scratch, name, data)
    is_text_table(str(path))
    _check_index(index_texts(path))


def _check_index(found: Any) -> None:
    assert len({r.label for r in found.records}) >= 2
    assert {r.split for r in found.records} <= {"train", "val", "test"}
    encode(found.summary()).encode()


def read_weight_file(world: Path, scratch: Path, name: str, data: bytes) -> None:
    import torch

    from headstart.backbones.weights import read_weights

    state = read_weights(_write(scratch, name, data))
    for key, value in state.items():
        assert isinstance(key, str)
        value.to(torch.float32).sum().item()


def read_trained(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.training.saving import load_network

    digest = _digest(world / "seeds" / "trained networks" / name)
    load_network(_write(scratch, "network.safetensors", data), digest=digest)


@functools.cache
def _digest(network: Path) -> str:
    from headstart.training.trained import load_trained

    return load_trained(network).backbone.digest


def read_checkpoint(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.training.checkpoints import load_checkpoint

    _write(scratch, "checkpoint.safetensors", data)
    identity = _identity(world)
    load_checkpoint(scratch, identity)


@functools.cache
def _identity(world: Path) -> Any:
    from safetensors import safe_open

    with safe_open(world / "training" / "checkpoint.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["headstart"])["identity"]


def read_exported(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.export import open_classifier

    open_classifier(_write(scratch, "a.safetensors", data))


def read_text_network(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.sources.text import network_scores
    from headstart.text import load_textcnn

    _write(scratch, "textcnn.safetensors", data)
    scores = network_scores(*load_textcnn(scratch), ["a good film", ""])
    assert scores.ndim == 2


def read_vectors(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.text.embeddings import read_embeddings

    found = read_embeddings(_write(scratch, "vectors.txt", data), {"film", "good", "paris"})
    assert found.vectors.shape == (len(found.words), found.n_features)


def read_policy(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.augment.policy import Policy, parse_policy

    policy = parse_policy(str(_write(scratch, "policy.json", data)))
    assert Policy.from_dict(policy.to_dict()) == policy


def read_archive(world: Path, scratch: Path, name: str, data: bytes) -> None:
    from headstart.data.archives import data_root, unpack_zip

    folder = scratch / "box" / "unpacked"
    folder.parent.mkdir()
    unpack_zip(_write(scratch, "a.zip", data), folder)
    assert data_root(folder).is_relative_to(folder)
    outside = sorted(p.name for p in scratch.iterdir() if p.name not in ("a.zip", "box"))
    if outside or [p.name for p in folder.parent.iterdir()] != ["unpacked"]:
        raise Defect(f"written outside its folder: {outside}")


def _run(kind: str, world: Path) -> Path:
    return world / "runs" / ("photos" if kind == "runs on images" else "reviews")


@functools.cache
def _copy_of_run(kind: str, world: Path) -> Path:
    """A run folder of this process's own."""
    import os

    copy = world / f"copy-{os.getpid()}" / _run(kind, world).name
    shutil.copytree(_run(kind, world), copy)
    return copy


def read_run(kind: str, given: str, world: Path, name: str, data: bytes) -> None:
    """Opened, its report printed, and asked for a prediction, by what the command calls."""
    from headstart.cli.fit import report
    from headstart.cli.predict import predict

    folder = _copy_of_run(kind, world)
    right = (_run(kind, world) / name).read_bytes()
    out = io.StringIO()
    try:
        (folder / name).write_bytes(data)
        with contextlib.redirect_stdout(out):
            report([folder])
            report([folder], as_json=True)
            predict(str(folder), [given])
            predict(str(folder), [given], as_json=True)
            predict(str(folder), [given], as_csv=True)
    finally:
        (folder / name).write_bytes(right)
    if hidden := unprintable(out.getvalue()):
        raise Defect(f"it prints {hidden[:5]!r}")


def read_image_run(world: Path, scratch: Path, name: str, data: bytes) -> None:
    given = str(world / "photos" / "dark" / "0.png")
    read_run("runs on images", given, world, name, data)


def read_text_run(world: Path, scratch: Path, name: str, data: bytes) -> None:
    read_run("runs on texts", "a slow film", world, name, data)


def unprintable(text: str) -> str:
    """What must not reach a terminal: controls, and marks that turn the direction of writing."""
    return "".join(
        c for c in text if c not in "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")
    )


# A WebP file of 100 million pixels; Pillow holds it four times while it decodes.
IMAGE_BYTES = 1536 * MIB
_IMAGES: dict[str, Any] = {"read": read_image, "limit_bytes": IMAGE_BYTES}
KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="jpeg", mutate=mutation.mutate_bytes, **_IMAGES),
        Kind(name="png", mutate=mutation.mutate_png, **_IMAGES),
        Kind(name="gif", mutate=mutation.mutate_bytes, **_IMAGES),
        Kind(name="webp", mutate=mutation.mutate_bytes, **_IMAGES),
        Kind(name="tiff", mutate=mutation.mutate_bytes, **_IMAGES),
        Kind(name="other images", mutate=mutation.mutate_bytes, **_IMAGES),
        Kind(
            name="large images",
            mutate=mutation.leave,
            n_long=15,
            n_quick=0,
            n_warm=0,
            limit_s=30.0,
            **_IMAGES,
        ),
        Kind(name="tables of images", mutate=mutation.mutate_text, read=read_image_table),
        Kind(name="split files", mutate=mutation.mutate_text, read=read_split),
        Kind(name="tables of texts", mutate=mutation.mutate_text, read=read_text_table),
        Kind(name="weight files", mutate=mutation.mutate_safetensors, read=read_weight_file),
        Kind(
            name="trained networks",
            mutate=mutation.mutate_safetensors,
            read=read_trained,
            n_quick=0,
            n_long=400,
        ),
        Kind(
            name="checkpoints", mutate=mutation.mutate_safetensors, read=read_checkpoint, n_quick=0
        ),
        Kind(
            name="text networks",
            mutate=mutation.mutate_safetensors,
            read=read_text_network,
            n_quick=0,
        ),
        Kind(
            name="runs on images",
            mutate=mutation.mutate_json,
            read=read_image_run,
            n_quick=4,
            n_warm=1,
            n_long=400,
        ),
        Kind(
            name="runs on texts",
            mutate=mutation.mutate_json,
            read=read_text_run,
            n_quick=0,
            n_warm=1,
        ),
        Kind(
            name="exported classifiers",
            mutate=mutation.mutate_safetensors,
            read=read_exported,
            n_quick=0,
            n_long=400,
        ),
        Kind(name="word vectors", mutate=mutation.mutate_text, read=read_vectors),
        Kind(name="policies", mutate=mutation.mutate_json, read=read_policy),
        Kind(name="archives", mutate=mutation.mutate_zip, read=read_archive),
        Kind(name="requests", mutate=fuzz_requests.mutate, read=fuzz_requests.read),
        Kind(
            name="requests on the wire",
            mutate=fuzz_requests.mutate,
            read=fuzz_requests.read_wire,
            n_quick=0,
        ),
    )
}
