"""`to_torch` and `from_torch`, with the real PyTorch."""

from __future__ import annotations

import pickle
import re
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cellprep as cp
from cellprep import Dataset
from cellprep.errors import CellprepError
from cellprep.formats import FORMATS

from .arrays import many


@pytest.mark.parametrize("start", [None, "fork", "spawn"])
def test_a_loader_gets_all_images_in_order(made, start):
    torch = pytest.importorskip("torch")
    if start == "fork" and sys.platform != "linux":
        pytest.skip("no fork")
    loader = torch.utils.data.DataLoader(
        *(made.to_torch(), 7),
        num_workers=0 if start is None else 2,
        multiprocessing_context=start,
    )
    for _ in range(2 if start is None else 1):
        images, labels = zip(*loader, strict=True)
        assert [len(batch) for batch in images] == [7] * 13 + [5]
        whole = torch.cat(images)
        assert (whole.dtype, labels[0].dtype) == (torch.uint8, torch.int64)
        np.testing.assert_array_equal(whole.numpy(), np.moveaxis(made.images[:], -1, 1))
        np.testing.assert_array_equal(torch.cat(labels).numpy(), made.labels)


@pytest.mark.parametrize("format", FORMATS)
def test_loader_workers_read_every_format(grouped, format, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / ("out.npz" if FORMATS[format].is_file else "out")
    cp.write(grouped, path, format=format, progress=False)
    cells = cp.Recipe([cp.Jitter()])(cp.read(path))
    images = np.moveaxis(cells.images[:], -1, 1)  # so that this process has the files open too
    copied = pickle.loads(pickle.dumps(cells.to_torch()))
    np.testing.assert_array_equal(copied[3][0], images[3])
    loader = torch.utils.data.DataLoader(cells.to_torch(), 8, num_workers=2, timeout=60)
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in loader]), images)


def test_the_data_set_works_with_the_tools_of_torch(made):
    torch = pytest.importorskip("torch")
    data = made.to_torch(transform=lambda image: image.float() / 255)
    assert isinstance(data, torch.utils.data.Dataset)
    assert data.classes == list(made.class_names)
    assert data.targets.tolist() == made.labels.tolist()
    image, label = data[-1]
    assert (image.dtype, image.shape, label) == (torch.float32, (3, 48, 48), made.labels[-1])
    assert round(float(image.max()) * 255) == made.images[-1].max()
    with pytest.raises(IndexError):
        data[96]
    assert len([label for _, label in data]) == 96  # iteration terminates
    first, _ = torch.utils.data.random_split(data, [10, 86])
    ((_, labels),) = torch.utils.data.DataLoader(first, batch_size=10)
    np.testing.assert_array_equal(labels, made.labels[first.indices])
    sampler = torch.utils.data.WeightedRandomSampler((data.targets == 3).double(), 5)
    ((_, labels),) = torch.utils.data.DataLoader(data, batch_size=5, sampler=sampler)
    assert labels.tolist() == [3] * 5


@pytest.mark.parametrize("start", [None, "fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_that_persist_follow_the_epoch(made, start):
    torch = pytest.importorskip("torch")
    if start == "fork" and sys.platform != "linux":
        pytest.skip("no fork")
    data = made.to_torch()
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": start}
    loader = torch.utils.data.DataLoader(data, 32, **(workers if start else {}))
    for epoch in (None, 1, 0):  # the workers start before an epoch is set
        if epoch is not None:
            data.set_epoch(epoch)
        expected = np.moveaxis(made.epoch(epoch or 0).images[:], -1, 1)
        np.testing.assert_array_equal(torch.cat([images for images, _ in loader]), expected)
    np.testing.assert_array_equal(
        made.to_torch(epoch=4)[95][0], np.moveaxis(made.epoch(4).images[95], -1, 0)
    )
    with pytest.raises(CellprepError, match="`epoch` must be a whole number in"):
        made.to_torch(epoch=-1)
    with pytest.raises(CellprepError, match="`epoch` must be a whole number in"):
        data.set_epoch(-1)


def test_only_the_requested_rows_are_read(read_rows):
    pytest.importorskip("torch")
    data = many().to_torch()
    data.__getitems__([5, 3])
    data[7]
    assert sorted(read_rows) == [3, 5, 7]


def test_removed_rows_are_not_pickled_for_workers(tmp_path):
    pytest.importorskip("torch")
    cp.write(many(20_001), tmp_path / "out", progress=False)
    cells = cp.read(tmp_path / "out")
    few = cp.Recipe([cp.Balance(target=5)])(cells)
    assert len(few) == 10
    assert len(pickle.dumps(few.to_torch())) < 0.8 * len(pickle.dumps(few.plan))


def test_torch_trains_on_the_data_set(made):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48 * 48 * 3, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = model[1].weight.detach().clone()
    data = made.to_torch(transform=lambda image: image.float() / 255)
    for images, labels in torch.utils.data.DataLoader(data, batch_size=48, shuffle=True):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    assert (model[1].weight != before).any()


class Items:
    """A typical torch data set."""

    classes = (*"abcdefgh", "none of these")

    def __init__(self, images: np.ndarray, labels: np.ndarray, kind: str) -> None:
        self.images, self.labels, self.kind = images, labels, kind
        self.requested: list[int] = []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: int) -> Any:
        import torch

        self.requested.append(at)
        image, label = self.images[at], self.labels[at]
        if self.kind == "tensors":
            return torch.from_numpy(np.moveaxis(image, -1, 0)), torch.eye(9)[label]
        if self.kind == "medmnist":
            return Image.fromarray(image), np.array([label])
        return image, int(label), "more"


@pytest.mark.parametrize("kind", ["tensors", "medmnist", "arrays"])
def test_from_torch_reads_images_on_demand(grouped, kind, tmp_path):
    pytest.importorskip("torch")
    items = Items(grouped.images[:], grouped.labels, kind)
    back = Dataset.from_torch(items, ids=grouped.ids, groups=grouped.table()["group"])
    pd.testing.assert_frame_equal(back.table(), grouped.table())
    items.requested.clear()
    np.testing.assert_array_equal(back.images[[3, 9]], grouped.images[[3, 9]])
    assert items.requested == [3, 9]
    recipe = cp.Recipe([cp.RandAugment(copies=1)])
    executor = "processes" if kind == "arrays" else "threads"
    cp.write(recipe(back), tmp_path / "out", progress=False, executor=executor, workers=2)
    np.testing.assert_array_equal(cp.read(tmp_path / "out").images[:], recipe(grouped).images[:])
    assert cp.write(recipe(back), tmp_path / "out", progress=False).resumed == 80


def test_a_torch_data_set_with_random_transforms_is_refused(grouped):
    pytest.importorskip("torch")

    class Flips(Items):
        def __getitem__(self, at):
            image, *rest = super().__getitem__(at)
            return image[:, at:] if self.requested.count(at) > 2 else image, *rest

    back = Dataset.from_torch(Flips(grouped.images[:], grouped.labels, "arrays"))
    assert back.images[2:5].shape == (3, 48, 48, 3)
    with pytest.raises(CellprepError, match="item 3 of the torch data set changed"):
        back.images[3:6]


def test_from_torch_refuses_unusable_data(grouped):
    torch = pytest.importorskip("torch")
    images, labels = grouped.images[:], grouped.labels

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(images, labels, strict=True))

    floats = torch.utils.data.TensorDataset(torch.rand(4, 3, 8, 8), torch.arange(4))
    refused = [
        (Stream(), "must be a map-style torch data set"),
        (floats, "if the range is 0-1"),
        ([], "contains no images"),
        ([images[0]], "must be pairs (image, label), item 0 is of type ndarray"),
        ([(images[0], 0), (images[1, :40], 1)], "item 1 is 40x48 pixels, item 0 48x48"),
        ([(Image.fromarray(images[0]).convert("L"), 0)], "for grey images repeat the channel"),
    ]
    for data, message in refused:
        with pytest.raises(CellprepError, match=re.escape(message)):
            Dataset.from_torch(data)
