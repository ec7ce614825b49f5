from __future__ import annotations

import pytest

from headstart.backbones.licences import licence_note


@pytest.mark.parametrize(
    ("licence", "note"),
    [
        ("apache-2.0", ""),
        ("mit", ""),
        ("Apache-2.0", ""),
        ("BSD-3-Clause (torchvision), trained on ImageNet", ""),
        ("see model card", ""),
        ("cc-by-nc-4.0", "not for commercial use"),
        ("fair-noncommercial-research-license", "not for commercial use"),
        ("apple-amlr", "not for commercial use"),
        (
            "see https://github.com/facebookresearch/SWAG LICENSE (CC-BY-NC 4.0)",
            "not for commercial use",
        ),
        ("dinov3-license", "with terms of its own"),
        ("gemma", "with terms of its own"),
        ("cc-by-nc-nd-4.0 (gated)", "not for commercial use"),
        ("other (gated)", "with terms of its own"),
    ],
)
def test_licence_note__of_published_weights(licence: str, note: str) -> None:
    assert licence_note(licence) == note
