"""The project's own PyTorch training loop, on data sets that cellprep wrote.

    python ingest.py STORE
    python train_torch.py STORE

Images stay on disk: each batch is read from memory-mapped shards, all of its rows in one call.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import cellprep as cp
from ingest import Store
from prepare import prepare


class Rows(Dataset[tuple[Tensor, Tensor]]):
    """Rows of a written data set; a DataLoader requests all rows of a batch at once."""

    def __init__(self, cells: cp.Dataset) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return len(self.cells)

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(self.cells.images[rows]).permute(0, 3, 1, 2)
        return images / 127.5 - 1, torch.from_numpy(self.cells.labels[rows])


def loader(cells: cp.Dataset, *, shuffle: bool = False) -> DataLoader[tuple[Tensor, Tensor]]:
    return DataLoader(Rows(cells), batch_size=32, shuffle=shuffle, collate_fn=lambda batch: batch)


def network(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, classes),
    )  # fmt: skip


@torch.no_grad()
def accuracy(model: nn.Module, cells: cp.Dataset) -> float:
    model.eval()
    right = sum(
        int((model(images).argmax(dim=1) == labels).sum()) for images, labels in loader(cells)
    )
    return right / len(cells)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/store")
    cells = prepare(Store(folder), folder / "prepared")
    torch.manual_seed(0)
    model = network(len(cells["train"].class_names))
    model(next(iter(loader(cells["test"])))[0])  # sets the size of the last layer
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(1, 9):
        model.train()
        for images, labels in loader(cells["train"], shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        scores = {name: accuracy(model, cells[name]) for name in ("test", "shifted")}
        print(f"epoch {epoch}:", ", ".join(f"{name} {score:.2f}" for name, score in scores.items()))
