"""A PyTorch training with fresh copies every epoch; run it again to resume it.

    python examples/fresh_torch.py

No image is written: the workers of the DataLoader compute each copy when it is needed.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

import cellprep as cp
from cellprep.synthetic import draw_cells

EPOCHS, CHECKPOINT = 8, Path("out/fresh.pt")


def network(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, classes),
    )  # fmt: skip


@torch.no_grad()
def accuracy(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    right = [(model(images / 127.5 - 1).argmax(1) == labels).float() for images, labels in loader]
    return float(torch.cat(right).mean())


if __name__ == "__main__":
    cells = cp.Dataset.from_arrays(*draw_cells([60] * 8, side=48, seed=0))
    parts = cp.split(cells, train=0.7, test=0.3, seed=0)
    augment = cp.RandAugment(copies=2, magnitude=0.3, keep_originals=False)
    made = cp.Recipe([cp.Dedupe(), cp.Balance(), augment])(parts["train"])
    train = made.to_torch()
    loader = DataLoader(train, 32, shuffle=True, num_workers=2, persistent_workers=True)
    test = DataLoader(parts["test"].to_torch(), 64)

    torch.manual_seed(0)
    model = network(len(train.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    first = 0
    if CHECKPOINT.is_file():
        first, weights, state = torch.load(CHECKPOINT)
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
    for epoch in range(first, EPOCHS):
        train.set_epoch(epoch)  # these copies
        torch.manual_seed(epoch)  # in this order
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images / 127.5 - 1), labels).backward()
            optimizer.step()
        print(f"epoch {epoch}: test {accuracy(model, test):.2f}")
        CHECKPOINT.parent.mkdir(exist_ok=True)
        torch.save((epoch + 1, model.state_dict(), optimizer.state_dict()), CHECKPOINT)
