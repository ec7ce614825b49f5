"""What a head sees: the features of one tap at one resolution, or of several joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.examples import join_rows, row_blocks
from headstart.wording import listed

if TYPE_CHECKING:
    from headstart.backbones import Backbone
    from headstart.features import FeatureStore
    from headstart.features.store import StoredRows

# Layers before these are too general to help a linear head, and cost it features.
N_JOINED = 4


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Every tap of ``taps`` at every resolution of ``resolutions``, side by side; or some of these."""

    taps: tuple[str, ...]  # in network order
    resolutions: tuple[int, ...]  # pixels, ascending
    backbone: str = ""  # its name, where a fit has several; else empty
    # (tap, resolution); those that are taken, in the order of `pairs`; empty: all
    only: tuple[tuple[str, int], ...] = ()

    @property
    def is_network(self) -> bool:
        """Whether a network is trained for the candidate, rather than a linear head."""
        return False

    @property
    def head(self) -> NDArray[np.float64] | None:
        """The head (K, d) of features that have one without training."""
        return None

    @property
    def members(self) -> tuple[Blocks, ...]:
        """The features of each backbone, in the order of the columns."""
        return (self,)

    @property
    def is_sparse(self) -> bool:
        """Whether nearly all features of an example are zero, as counts of words are."""
        return False

    @property
    def tap_label(self) -> str:
        """``"blocks.6"``, ``"blocks.6.cls+mean"``, or ``"last 4 joined"``.

        With several backbones after the name of its own.
        """
        return f"{self.backbone} {self._layer_label}".lstrip()

    @property
    def _layer_label(self) -> str:
        if len(self.taps) == 1:
            return self.taps[0]
        layers = self._layers
        return f"{layers[0]}.cls+mean" if len(layers) == 1 else f"last {len(layers)} joined"

    @property
    def _layers(self) -> list[str]:
        from headstart.backbones.backbone import layer_of

        return list(dict.fromkeys(map(layer_of, self.taps)))

    @property
    def resolution_label(self) -> str:
        """``"320"``, or ``"224+320"``."""
        return "+".join(map(str, self.resolutions))

    @property
    def pairs(self) -> tuple[tuple[str, int], ...]:
        """Each ``(tap, resolution)``, in the order of the columns."""
        return self.only or tuple((tap, size) for size in self.resolutions for tap in self.taps)

    @property
    def keys(self) -> tuple[tuple[str, str, int], ...]:
        """Backbone, tap and resolution of each part, in the order of the columns."""
        return tuple((b.backbone, tap, size) for b in self.members for tap, size in b.pairs)

    def taps_at(self, size_px: int) -> tuple[str, ...]:
        """The taps that are taken at a resolution, in the order of the columns."""
        return tuple(tap for tap, size in self.pairs if size == size_px)

    def described(self) -> dict[str, Any]:
        """Where it stands in the table of candidates, and what it joins."""
        return {
            "tap": self.tap_label,
            "resolution": self.resolution_label,
            "taps": tuple(self.taps),
            "resolutions_px": tuple(self.resolutions),
            "backbones": tuple(b.backbone for b in self.members) if self.backbone else (),
            **self._more(),
        }

    def _more(self) -> dict[str, Any]:
        return {}

    def __str__(self) -> str:
        of = f" of {self.backbone}" if self.backbone else ""
        names = self._layers
        layers = f"Layer {self._layer_label}{of}"
        if len(names) > 1:
            many = "to" if len(names) > 2 else "and"
            layers = f"Layers {names[0]} {many} {names[-1]}{of} joined"
        return f"{layers} at {' + '.join(map(str, self.resolutions))} px"


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Blocks):
    """A network's last tap, whose features are compared with those of the classes' prompts."""

    # (K, d); as of :func:`headstart.backbones.zeroshot.text_head`
    vectors: NDArray[np.float64] = field(compare=False, repr=False)

    @property
    def head(self) -> NDArray[np.float64]:
        return self.vectors

    @property
    def _layer_label(self) -> str:
        return "zero-shot"

    def __str__(self) -> str:
        of = f" of {self.backbone}" if self.backbone else ""
        return f"Zero-shot head{of} at {self.resolution_label} px"


@dataclass(frozen=True, kw_only=True)
class SideBySide(Blocks):
    """Features of several backbones, side by side."""

    joined: tuple[Blocks, ...]  # one for each backbone, in the order of the columns

    @property
    def members(self) -> tuple[Blocks, ...]:
        return self.joined

    @property
    def tap_label(self) -> str:
        return self.backbone

    @property
    def resolution_label(self) -> str:
        return ", ".join(dict.fromkeys(b.resolution_label for b in self.joined))

    @property
    def pairs(self) -> tuple[tuple[str, int], ...]:
        return tuple((f"{b.backbone} {tap}", size) for b in self.joined for tap, size in b.pairs)

    def __str__(self) -> str:
        names = listed([b.backbone for b in self.joined])
        sizes = {b.resolutions for b in self.joined}
        at = f" at {' + '.join(map(str, *sizes))} px" if len(sizes) == 1 else ""
        return f"Layers of {names} joined{at}"


def side_by_side(members: Sequence[Blocks]) -> Blocks:
    """Features of several backbones, side by side; of one, those alone."""
    if len(members) == 1:
        return members[0]
    return SideBySide(
        taps=tuple(f"{b.backbone} {tap}" for b in members for tap in b.taps),
        resolutions=tuple(sorted({size for b in members for size in b.resolutions})),
        backbone=" + ".join(b.backbone for b in members),
        joined=tuple(members),
    )


@dataclass(frozen=True, kw_only=True)
class Averaged(Blocks):
    """Features of several candidates whose calibrated scores are averaged."""

    union: Blocks  # each tap at each resolution once
    n_averaged: int  # number of candidates
    n_features: tuple[int, ...]  # of each of `keys`
    n_zero_shot: int = 0  # how many of the candidates are zero-shot heads
    of: str = "linear SVM"  # what the others are

    @property
    def widths(self) -> dict[tuple[str, str, int], int]:
        """How many columns each of `keys` has, in the order of the columns."""
        return dict(zip(self.keys, self.n_features, strict=True))

    @property
    def members(self) -> tuple[Blocks, ...]:
        return self.union.members

    @property
    def tap_label(self) -> str:
        return f"mean of {self.n_averaged}"

    @property
    def pairs(self) -> tuple[tuple[str, int], ...]:
        return self.union.pairs

    def _more(self) -> dict[str, Any]:
        return {"n_averaged": self.n_averaged}

    def __str__(self) -> str:
        sizes = " + ".join(map(str, self.resolutions))
        n_svms = self.n_averaged - self.n_zero_shot
        svms = f"{n_svms} {self.of}s" if n_svms > 1 else f"a {self.of}"
        heads = {0: "", 1: " and a zero-shot head"}.get(
            self.n_zero_shot, f" and {self.n_zero_shot} zero-shot heads"
        )
        return f"Mean of {svms}{heads} at {sizes} px"


def averaged(candidates: Sequence[Blocks], backbones: Mapping[str, Backbone]) -> Averaged:
    """What the mean of several candidates is of.

    `backbones` (name to Backbone): by "" where there is one.
    """
    parts = [part for blocks in candidates for part in blocks.members]
    unions = []
    for name in dict.fromkeys(part.backbone for part in parts):
        wanted = {pair for part in parts if part.backbone == name for pair in part.pairs}
        order = [tap.name for tap in backbones[name].taps]
        pairs = tuple(sorted(wanted, key=lambda pair: (pair[1], order.index(pair[0]))))
        unions.append(
            Blocks(
                taps=tuple(tap for tap in order if any(tap == t for t, _ in pairs)),
                resolutions=tuple(dict.fromkeys(size for _, size in pairs)),
                backbone=name,
                only=pairs,
            )
        )
    union = side_by_side(unions)
    return Averaged(
        taps=union.taps,
        resolutions=union.resolutions,
        backbone=union.backbone,
        union=union,
        n_averaged=len(candidates),
        n_zero_shot=sum(blocks.head is not None for blocks in candidates),
        n_features=tuple(backbones[name].tap(tap).n_features for name, tap, _ in union.keys),
    )


def of_backbone(blocks: Blocks, name: str) -> Blocks:
    """The same features, of a backbone named among several."""
    return replace(blocks, backbone=name)


def plan_blocks(taps: Sequence[str], resolutions: Sequence[int]) -> list[Blocks]:
    """The candidates: rows of taps by columns of resolutions.

    Rows are the taps, and the last :data:`N_JOINED` layers before the output joined; columns are the
    resolutions, and the two largest joined. A transformer's block with a class token is a row with
    its class token and the mean of its patches joined; the last blocks are rows with each alone,
    too. Joining layers is the idea of Head2Toe (Evci 2022),
    without its selection of single features; joining resolutions that of image pyramids.
    """
    from headstart.backbones.backbone import before_output, last_layers, layer_of

    last = last_layers(taps, N_JOINED)
    layers: dict[str, list[str]] = {}
    for tap in taps:
        layers.setdefault(layer_of(tap), []).append(tap)
    rows: list[tuple[str, ...]] = []
    for of_layer in layers.values():
        if len(of_layer) == 1 or of_layer[0] in last:
            rows += [(tap,) for tap in of_layer]
        if len(of_layer) > 1:
            rows.append(tuple(of_layer))
    if len({layer_of(tap) for tap in before_output(taps)}) >= 2:
        rows.append(tuple(last))
    sizes = sorted(resolutions)
    columns: list[tuple[int, ...]] = [(size,) for size in sizes]
    if len(sizes) >= 2:
        columns.append(tuple(sizes[-2:]))
    return [Blocks(taps=row, resolutions=column) for row in rows for column in columns]


def usual_blocks(backbone: Backbone, resolutions: Sequence[int]) -> Blocks:
    """The usual choice: the layer before the output, at the size nearest the network's own."""
    from headstart.backbones.backbone import before_output

    own = backbone.preprocessing.size_px
    size = min(resolutions, key=lambda s: (abs(s - own), s))
    last = before_output([tap.name for tap in backbone.taps])[-1]
    return Blocks(taps=(last,), resolutions=(size,))


class JoinedRows:
    """Several features of the same images side by side, read whenever a slice of them is taken.

    Every row of every part is brought to unit length first, as `join_rows` does.
    """

    def __init__(self, parts: Sequence[StoredRows]) -> None:
        self.parts = parts
        self.shape = (len(parts[0]), sum(part.shape[1] for part in parts))
        self.dtype: np.dtype[Any] = np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """The features of a slice of the images, float32."""
        return join_rows([part[rows] for part in self.parts])


def block_rows(
    stores: Mapping[int, FeatureStore], digests: Sequence[str], blocks: Blocks
) -> JoinedRows:
    """The features of ``blocks``, (n, d), left in the store until they are used."""
    parts = (stores[size].rows(digests, blocks.taps_at(size)) for size in blocks.resolutions)
    return JoinedRows([part for of_size in parts for part in of_size])


def read_blocks(
    stores: Mapping[int, FeatureStore], digests: Sequence[str], blocks: Blocks
) -> NDArray[np.float32]:
    """The same in memory."""
    return rows_in_memory(block_rows(stores, digests, blocks))


def rows_in_memory(rows: JoinedRows) -> NDArray[np.float32]:
    """Rows of a store in memory."""
    X = np.empty(rows.shape, dtype=np.float32)
    for some in row_blocks(len(X)):
        X[some] = rows[some]
    return X
