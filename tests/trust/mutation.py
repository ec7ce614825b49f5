"""Damage to files, drawn from a seed: bytes, numbers inside them, JSON, PNG chunks, zip members."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

INTERESTING = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = (
    b"", b"\0", b"\n", b"\r", b'"', b"'", b",", b"\t", b";", b"=1+1", b"@x", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xc3", b"\xed\xa0\x80", b"\x1b[31m", "\u202e".encode(), b"nan", b"-inf", b"1e999", b"[" * 2000,
    b'{"a":' * 2000, b"9" * 5000, b"../../etc/passwd", b"A" * 70_000, b"\xe2\x80\xa8",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "nan", "\x1b[31mred\n", "\u202ename", "\ud800", "../../../etc/passwd", "a" * 5000, [], {},
    [[]], [None], [1, "a"], {"": None}, {"a": {"b": []}}, [0] * 1000,
)  # fmt: skip


class Defect(Exception):  # noqa: N818 - of what is tested, not of the test
    """Something that no file may bring about."""


Mutator = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def mutate_bytes(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """One to four blows at any bytes; `others` are what can be spliced in."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        found = rng.choice(BLOWS)(found, rng, others)
    return bytes(found)


def leave(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """As it is."""
    return data


def _place(found: bytearray, rng: random.Random) -> int:
    """A place, often near the beginning, where headers are."""
    most = len(found) if rng.random() < 0.5 else min(len(found), 256)
    return rng.randrange(most) if most else 0


def flip_bits(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    for _n in range(rng.choice((1, 1, 2, 8, 64)) if found else 0):
        found[_place(found, rng)] ^= 1 << rng.randrange(8)
    return found


def set_bytes(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    for _n in range(rng.choice((1, 2, 4)) if found else 0):
        found[_place(found, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return found


def set_number(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    """A number of two, four or eight bytes, in either order, becomes a large or a small one."""
    code = rng.choice("HIQ")
    size = struct.calcsize(code)
    if len(found) >= size:
        at = min(_place(found, rng), len(found) - size)
        value = (rng.choice(INTERESTING) + rng.choice((0, 0, 1, -1))) % 2 ** (8 * size)
        found[at : at + size] = struct.pack(rng.choice("<>") + code, value)
    return found


def cut(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    at = _place(found, rng)
    return found[:at] if rng.random() < 0.8 else found[at:]


def drop(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    at = _place(found, rng)
    del found[at : at + rng.choice((1, 2, 4, 16, 256))]
    return found


def repeat(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    at = _place(found, rng)
    part = found[at : at + rng.choice((1, 4, 16, 256))]
    return found[:at] + part * rng.choice((2, 3, 100)) + found[at:]


def insert(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    at = _place(found, rng)
    return found[:at] + rng.choice((rng.randbytes(rng.choice((1, 4, 64))), bytes(64))) + found[at:]


def insert_word(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    at = _place(found, rng)
    return found[:at] + rng.choice(WORDS) + found[at:]


def splice(found: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    """The beginning of one file and the end of another."""
    other = rng.choice(others) if others else b""
    at = _place(found, rng)
    return found[:at] + other[_place(bytearray(other), rng) :]


def set_digits(found: bytearray, rng: random.Random, _: Sequence[bytes]) -> bytearray:
    """A number that is written out becomes another one."""
    places = list(re.finditer(rb"\d+", bytes(found[:100_000])))
    if places:
        match = rng.choice(places)
        new = rng.choice((b"0", b"-1", b"99999999", b"1e400", b"nan", b"1.5", b"4294967296", b""))
        found[match.start() : match.end()] = new
    return found


Blow = Callable[[bytearray, random.Random, Sequence[bytes]], bytearray]
BLOWS: tuple[Blow, ...] = (
    flip_bits, set_bytes, set_number, set_number, cut, drop, repeat, insert, splice,
)  # fmt: skip
TEXT_BLOWS: tuple[Blow, ...] = (
    flip_bits, set_bytes, cut, drop, repeat, insert_word, insert_word, insert_word, set_digits, splice,
)  # fmt: skip


def mutate_text(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Blows at text: numbers, quotation marks, line ends, letters that are none."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = rng.choice(TEXT_BLOWS)(found, rng, others)
    return bytes(found)


def mutate_json(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A value somewhere in a JSON document is replaced, removed or moved; or its bytes are struck."""
    try:
        value = json.loads(data)
    except ValueError:  # damaged before
        return mutate_text(data, rng, others)
    if rng.random() < 0.25:
        return mutate_text(data, rng, others)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = mutate_value(value, rng)
    return json.dumps(value, indent=rng.choice((None, 1))).encode("utf-8", "surrogatepass")


def mutate_value(value: Any, rng: random.Random) -> Any:
    """A JSON value with one thing in it changed."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    what = rng.random()
    if what < 0.12:
        del value[key]
    elif what < 0.17 and isinstance(value, dict):
        value[rng.choice(("", "x", "schema", "name"))] = rng.choice(VALUES)
    elif what < 0.22 and isinstance(value, list):
        value.append(value[key])
    else:
        value[key] = mutate_value(value[key], rng)
    return value


def mutate_png(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Bytes inside a chunk, or its order; the checksums are made right again, so that it is read."""
    if rng.random() < 0.3 or not data.startswith(b"\x89PNG"):
        return mutate_bytes(data, rng, others)
    chunks, at = [], 8
    while at + 12 <= len(data):
        (n,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + n]))
        at += 12 + n
    i = rng.randrange(len(chunks))
    kind, body = chunks[i]
    what = rng.random()
    if what < 0.7:
        chunks[i] = (kind, bytes(set_number(flip_bits(bytearray(body), rng, ()), rng, ())))
    elif what < 0.8:
        chunks.insert(rng.randrange(len(chunks)), (kind, body))
    elif what < 0.9:
        del chunks[i]
    else:
        chunks[i] = (rng.choice((b"tRNS", b"PLTE", b"iCCP", b"eXIf", b"acTL", b"zTXt")), body)
    packed = [
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks
    ]
    return data[:8] + b"".join(packed)


def mutate_safetensors(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The JSON header (shapes, types, offsets, what a run keeps in it), with its length made right."""
    (n,) = struct.unpack("<Q", data[:8]) if len(data) >= 8 else (0,)
    if rng.random() < 0.3 or not 0 < n < len(data):
        return mutate_bytes(data, rng, others)
    header = json.loads(data[8 : 8 + n])
    meta = header.get("__metadata__", {})
    if "headstart" in meta and rng.random() < 0.7:
        struck = mutate_json(meta["headstart"].encode(), rng, ())
        meta["headstart"] = struck.decode("utf-8", "replace")
    else:
        header = mutate_value(header, rng)
    written = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(written)) + written + data[8 + n :]


def mutate_zip(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The bytes of a member, written again with a right checksum; or those of the whole file."""
    if rng.random() < 0.4 or not zipfile.is_zipfile(io.BytesIO(data)):
        return mutate_bytes(data, rng, others)
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    i = rng.randrange(len(members))
    name, body = members[i]
    what = rng.random()
    if what < 0.7:
        members[i] = (name, mutate_bytes(body, rng, [b for _, b in members]))
    elif what < 0.8:
        members[i] = (
            rng.choice(("../x", "/x", "a\\..\\..\\x", "C:x", name + "/x", "x" * 300)),
            body,
        )
    elif what < 0.9:
        members.append((rng.choice((name, name.upper())), body))
    else:
        del members[i]
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as new:
        for written, content in members:
            new.writestr(zipfile.ZipInfo(written), content)
    return buffer.getvalue()
