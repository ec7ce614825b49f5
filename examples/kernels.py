"""Convolution on a picture: the gallery of kernels, one of one's own, and the size of the result.

python examples/kernels.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.course.kernels import GALLERY, correlate, kernel_sheet, output_size, parse_kernel
from headstart.data import read_rgb, write_cat


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_cat(folder / "cat.jpg")
    small = read_rgb(folder / "cat.jpg").resize((225, 150))
    picture = np.asarray(small, np.float32) / 255
    sheet = kernel_sheet(picture, GALLERY, stride=1, padding="reflect", dilation=1)
    (folder / "kernels.png").write_bytes(sheet)
    print(f"written {folder / 'kernels.png'}")

    own = parse_kernel("1/9 × [[1,1,1],[1,1,1],[1,1,1]]")
    blurred = correlate(picture, own.weights, stride=2, padding="zeros")
    width = output_size(225, own.side, stride=2, padding="zeros", dilation=1)
    print(f"225 x 150 px become {blurred.shape[1]} x {blurred.shape[0]}; by the formula {width}")


if __name__ == "__main__":
    main(Path("demo"))
