from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from headstart.backbones.weights import digest_weights, fit_weights, read_weights
from headstart.errors import WeightsError


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


class Payload:
    """Runs a command when it is unpickled, if the reader lets it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("container", [None, "state_dict", "model", "state_dict_ema"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_read_weights__finds_the_state_dict(
    tmp_path: Path, container: str | None, prefix: str
) -> None:
    state = {prefix + k: v for k, v in small().state_dict().items()}
    saved = state if container is None else {container: state, "epoch": 3}
    path = tmp_path / "weights.pth"
    torch.save(saved, path)
    assert read_weights(path).keys() == small().state_dict().keys()


def test_digest_weights__same_weights_from_two_kinds_of_file(tmp_path: Path) -> None:
    module = small()
    torch.save(module.state_dict(), tmp_path / "a.pth")
    counted = {k: v for k, v in module.state_dict().items() if "num_batches" not in k}
    save_file(counted, tmp_path / "a.safetensors")
    digests = set()
    for name in ("a.pth", "a.safetensors"):
        other = small()
        nn.init.zeros_(other[0].weight)
        fit_weights(other, read_weights(tmp_path / name), shown=name, arch="small")
        digests.add(digest_weights(other))
    assert digests == {digest_weights(module)}


def test_digest_weights__one_bit_changes_it() -> None:
    module = small()
    before = digest_weights(module)
    with torch.no_grad():
        module[3].bias[1] += 1e-7
    assert digest_weights(module) != before


@pytest.mark.parametrize("keep", [0, 3, 20, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["pth", "legacy", "safetensors"])
def test_read_weights__truncated_file(tmp_path: Path, kind: str, keep: float) -> None:
    path = tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file(small().state_dict(), path)
    else:
        torch.save(small().state_dict(), path, _use_new_zipfile_serialization=kind == "pth")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 or keep == 0 else keep * len(whole))])
    with pytest.raises(WeightsError, match="damaged") as error:
        read_weights(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_read_weights__text_is_no_weight_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_text("<html>404 not found</html>")
    with pytest.raises(WeightsError, match="neither safetensors nor a PyTorch file"):
        read_weights(path)


def test_read_weights__values_that_are_not_finite(tmp_path: Path) -> None:
    state = small().state_dict()
    state["3.weight"][0, 0] = float("nan")
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"not finite, in 3\.weight"):
        read_weights(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("as_zip", [True, False])
def test_read_weights__refuses_a_pickle_with_code_and_does_not_run_it(
    tmp_path: Path, as_zip: bool
) -> None:
    mark, path = tmp_path / "ran", tmp_path / "weights.pth"
    state = {"weight": torch.zeros(2), "extra": Payload(mark)}
    torch.save(state, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(WeightsError, match=r"is a pickle that contains .*system.*tensors only"):
        read_weights(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_read_weights__refuses_a_plain_pickle_with_code(tmp_path: Path, protocol: int) -> None:
    mark, path = tmp_path / "ran", tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Payload(mark), protocol=protocol))
    with pytest.raises(WeightsError, match=r"is a pickle that contains .*tensors only"):
        read_weights(path)
    assert not mark.exists()


def test_read_weights__refuses_a_whole_module(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(
        WeightsError, match=r"contains a torch\.nn\.modules\.linear\.Linear; .*only"
    ):
        read_weights(path)


@pytest.mark.parametrize("saved", [{"epoch": 3}, [torch.zeros(2)], {}, torch.zeros(3)])
def test_read_weights__refuses_what_is_no_state_dict(tmp_path: Path, saved: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(saved, path)
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_weights(path)


def test_read_weights__missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist; `weights` needs a file"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_weights(tmp_path)


def test_fit_weights__says_which_keys_and_shapes() -> None:
    state = small().state_dict()
    state["3.weight"] = torch.zeros(5, 4)
    del state["0.bias"]
    state["head.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as error:
        fit_weights(small(), state, shown="w.pth", arch="timm:small")
    text = str(error.value)
    assert "the weights in w.pth do not fit timm:small" in text
    assert "1 missing (0.bias)" in text
    assert "1 not in the architecture (head.weight)" in text
    assert "3.weight is (5, 4) and should be (2, 4)" in text
