"""Facts of files: the hash survives what a copy goes through, and tells pictures apart."""

from __future__ import annotations

import hashlib

import pytest
from PIL import Image

from headstart.data.inspection import THUMB_VALUES, Facts, facts_of, inspect_all


def _distance(a: Facts, b: Facts) -> int:
    return (a.phash ^ b.phash).bit_count()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("size", "kind", "options"),
    [
        ((320, 240), "PNG", {}),
        ((160, 120), "PNG", {}),
        ((500, 375), "JPEG", {"quality": 40}),
        ((64, 48), "JPEG", {"quality": 80}),
        ((320, 240), "WEBP", {"quality": 50}),
    ],
)
def test_perceptual_hash__survives_scaling_and_recompression(
    picture, encode, seed, size, kind, options
) -> None:
    original = facts_of(encode(picture(seed, (320, 240))))
    copy = picture(seed, (320, 240)).resize(size, Image.Resampling.LANCZOS)
    assert _distance(original, facts_of(encode(copy, kind, **options))) <= 4


def test_perceptual_hash__tells_pictures_apart(picture, encode) -> None:
    facts = [facts_of(encode(picture(seed))) for seed in range(30)]
    assert min(_distance(a, b) for i, a in enumerate(facts) for b in facts[:i]) > 8


def test_facts_of__are_those_of_the_upright_picture(picture, encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture(3, (60, 40)).transpose(Image.Transpose.ROTATE_90)
    turned, plain = facts_of(encode(stored, exif=exif)), facts_of(encode(picture(3, (60, 40))))
    assert (turned.width, turned.height) == (plain.width, plain.height) == (60, 40)
    assert _distance(turned, plain) <= 2
    assert len(turned.thumb) == THUMB_VALUES


def test_facts_of__gives_the_full_size_of_a_scaled_decode(picture, encode) -> None:
    facts = facts_of(encode(picture(1, (1000, 700)), "JPEG"))
    assert (facts.width, facts.height) == (1000, 700)


def test_facts_of__gives_the_reason_for_bad_bytes() -> None:
    assert "empty" in facts_of(b"").reason


def test_inspect_all__keeps_order_and_decodes_no_known_digest(tree, picture, encode) -> None:
    root = tree({f"{i:03d}.png": i for i in range(100)} | {"bad.png": b""})
    paths = sorted(root.iterdir())
    known = Facts(1, 2, 3, bytes(THUMB_VALUES))
    seventh = hashlib.sha256(paths[7].read_bytes()).hexdigest()
    seen = list(inspect_all(paths, lambda d: known if d == seventh else None, n_threads=3))
    assert [s.digest for s in seen] == [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]
    assert seen[7].facts is known
    assert seen[-1].facts.reason == "empty file (0 bytes)"


def test_inspect_all__gives_no_digest_for_what_cannot_be_read(tmp_path) -> None:
    (seen,) = inspect_all([tmp_path / "gone.png"], lambda _: None)
    assert (seen.digest, seen.facts.reason) == ("", "no such file")


def test_inspect_all__stops_when_its_reader_does(tree) -> None:
    root = tree({f"{i}.png": i for i in range(200)})
    asked: list[str] = []
    reader = inspect_all(sorted(root.iterdir()), lambda d: asked.append(d), n_threads=1)
    next(reader)
    reader.close()  # type: ignore[attr-defined]  # a generator
    assert len(asked) < 100
