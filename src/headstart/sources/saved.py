"""What a run keeps of a backbone, in ``model.json`` and ``run.json``."""

from __future__ import annotations

import msgspec

from headstart.backbones import Preprocessing
from headstart.backbones.backbone import Backbone
from headstart.data.summary import Count

TEXT = "text"


class SavedBackbone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backbone by name and digest: its weights are found again, not copied.

    Of a run on texts, what makes the features of texts takes its place.
    """

    kind: str = ""  # {"", "text"}
    name: str
    arch: str = ""
    weights: str | None = ""  # path of a local file; None: found by name; "" where this is not kept
    source: str = ""  # where the weights come from
    licence: str | None = None
    digest: str  # of the weights
    n_parameters: Count = 0
    preprocessing: Preprocessing | None = None  # None of texts, and of runs of early versions
    # name and recipe of every tap; None where this is not kept
    taps: tuple[tuple[str, str], ...] | None = None
    finetuned: str = ""  # of a network that was trained: its file in the model's folder
    # of features of texts: where the word vectors come from, and the sentence encoder
    word_vectors: str | None = msgspec.field(default=None, name="word vectors")
    encoder: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether it makes features of texts."""
        return self.kind == TEXT


def saved(backbone: Backbone, *, weights: str | None = None, finetuned: str = "") -> SavedBackbone:
    """What ``model.json`` keeps of a backbone; `weights` and `finetuned` as of `SavedBackbone`."""
    return SavedBackbone(
        name=backbone.name,
        arch=backbone.arch,
        weights=weights,
        digest=backbone.digest,
        preprocessing=backbone.preprocessing,
        taps=tuple((tap.name, tap.recipe) for tap in backbone.taps),
        finetuned=finetuned,
    )
