"""Several backbones named in one list: names, and files as ``FILE@ARCH``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from headstart.backbones.backbone import HUBS
from headstart.errors import BackboneError, InputError, argument, one_line

if TYPE_CHECKING:
    from headstart.backbones.backbone import Backbone

Named = tuple[str, str | None, str | None]
"""Name, weight file and architecture, as :func:`headstart.backbones.load` takes them."""


def split_names(text: str | Sequence[str], parameter: str = "backbone") -> tuple[str, ...]:
    """The names of a list, or of a text with commas between them.

    Raises InputError where a name is empty, comes twice, or has a comma in it.
    """
    given = text.split(",") if isinstance(text, str) else list(text)
    for name in given:
        if not isinstance(name, str):
            raise InputError(
                f"{argument(parameter)} takes names of backbones; got {one_line(repr(name), limit=60)}"
            )
        if "," in name:
            raise InputError(
                f"{argument(parameter)} takes names without a comma; got {one_line(name)!r}: rename the file"
            )
    names = tuple(name.strip() for name in given)
    shown = one_line(",".join(given))
    if not names or not all(names):
        raise InputError(
            f"{argument(parameter)} has an empty name in {shown!r}: give names with commas between, "
            "such as embedded,resnet50"
        )
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(
            f"{argument(parameter)} names {one_line(twice[0])} twice in {shown!r}: give each once"
        )
    return names


def named(text: str) -> Named:
    """Name, weight file and architecture from ``NAME`` or ``FILE@ARCH``."""
    file, at, arch = text.rpartition("@")
    # A repository's name may end in @REVISION.
    is_file = bool(at) and text.partition(":")[0] not in HUBS
    return (file, file, arch) if is_file else (text, None, None)


def base_name(text: str) -> str:
    """A name of the list without the folders of a file, or of a hub's local folder."""
    from headstart.backbones.loading import SUFFIXES

    library, _, place = text.partition(":")
    if library in HUBS and PurePath(place).is_absolute():
        return f"{library}:{PurePath(place).name}"
    file, arch = named(text)[1:]
    if file:
        return f"{PurePath(file).name}@{arch}"
    is_place = PurePath(text).is_absolute() or text.endswith(SUFFIXES)
    return PurePath(text).name if is_place else text


def check_all(asked: Sequence[Named], parameter: str = "backbone") -> None:
    """Raise the errors of :func:`headstart.backbones.load` without loading anything.

    Raises BackboneError or WeightsError where a name is unknown, a file is not there, holds no weights or
    has no architecture, or published weights are neither here nor within reach.
    """
    from headstart.backbones.loading import SUFFIXES, check, require_weights

    for name, weights, arch in asked:
        if len(asked) > 1 and weights is None and name.endswith(SUFFIXES):
            raise BackboneError(
                f"{argument(parameter)} names the file {one_line(name)} without its architecture: write "
                f"{one_line(name)}@ARCH (for example @resnet50)"
            )
        if check(name, weights=weights, arch=arch) is None:
            require_weights(name)


def load_all(asked: Sequence[Named]) -> dict[str, Backbone]:
    """Load several backbones, by the names that tables show.

    Raises BackboneError or WeightsError as :func:`headstart.backbones.load`; every name is checked
    before the first is loaded; InputError where two are the same network.
    """
    from headstart.backbones.loading import load

    check_all(asked)
    found: dict[str, Backbone] = {}
    for name, weights, arch in asked:
        net = load(name, weights=weights, arch=arch)
        for other, known in found.items():
            if (known.digest, known.arch) == (net.digest, net.arch):
                raise InputError(
                    f"{argument('backbone')} names one network twice, as {one_line(other)} and as "
                    f"{one_line(name)}: give it once"
                )
        found[net.name if net.name not in found else one_line(name)] = net
    return found
