"""A peer of bench/race.py: PyTorch's transfer-learning tutorial, all layers fine-tuned.

RandomResizedCrop and flips, batches of 4, SGD with rate 0.001 and momentum 0.9, a tenth of the rate after
every 7 epochs; 25 epochs there. The last epoch's weights are kept, as no image is held back to choose by.
"""

from __future__ import annotations

import timm
import torch
from PIL import Image
from race_files import read_task, write_predictions
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN = STD = (0.5, 0.5, 0.5)


class Images(Dataset):
    """Files as inputs, with class numbers."""

    def __init__(self, paths, labels, transform) -> None:
        self.paths, self.labels, self.transform = paths, labels, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int):
        return self.transform(Image.open(self.paths[i]).convert("RGB")), self.labels[i]


def main() -> None:
    task = read_task()
    torch.manual_seed(0)
    classes = sorted(set(task.labels))
    tail = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    augmented = transforms.Compose(
        [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), *tail]
    )
    plain = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), *tail])
    model = timm.create_model(
        "tf_efficientnet_lite0",
        pretrained=True,
        num_classes=len(classes),
        pretrained_cfg_overlay={"file": str(task.weights)},
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    numbers = [classes.index(label) for label in task.labels]
    loader = DataLoader(Images(task.train, numbers, augmented), batch_size=4, shuffle=True)
    for _ in range(task.epochs):
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
        scheduler.step()
    model.eval()
    tested = DataLoader(Images(task.test, [0] * len(task.test), plain), batch_size=32)
    with torch.no_grad():
        best = torch.cat([model(images).argmax(1) for images, _ in tested])
    write_predictions(task, [classes[i] for i in best.tolist()])


if __name__ == "__main__":
    main()
