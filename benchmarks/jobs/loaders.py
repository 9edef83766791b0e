"""One epoch of a written set in shuffled batches: as it is, and with fresh RandAugment copies.

With fresh copies, three of four images are augmented, by cellprep's RandAugment or, for the other
libraries, by torchvision's. Each library stores pixels in its fastest form, without compression.
`batches` and TensorFlow get (64, height, width, 3), PyTorch (64, 3, height, width).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cellprep as cp

from ..measure.job import Call, Images, Job, Make, Peer
from ..measure.parallel import cores, quiet
from . import rand_augment

BATCH = 64
COPIES = 3


def _drained(batches: Iterable[Any]) -> int:
    return sum(len(labels) for _, labels in batches)


def _written(fresh: bool, images: Images, folder: Path) -> cp.Dataset:
    cells = cp.Dataset.from_arrays(images, _labels(folder))
    cells = cp.read(cp.write(cells, folder / "set", progress=False).path)
    return cp.Recipe([cp.RandAugment(copies=COPIES)])(cells) if fresh else cells


def ours(fresh: bool, images: Images, folder: Path) -> Call:
    made, epochs = _written(fresh, images, folder), itertools.count(1)

    def call() -> int:
        epoch = next(epochs)
        order = made.shuffled(0, epoch)[: len(images)]
        return _drained(made.epoch(epoch).batches(BATCH, order=order))

    return call


def _loader(data: Any, workers: int, **options: Any) -> Any:
    from torch.utils.data import DataLoader

    how = {"batch_size": BATCH, "num_workers": workers, "persistent_workers": workers > 0}
    return DataLoader(data, **how, **options)  # type: ignore[arg-type]


def _started(loader: Any) -> Callable[[], int]:
    """An epoch of a loader; its workers, which persist, are started before."""
    next(iter(loader))
    return lambda: _drained(loader)


def to_torch(fresh: bool, workers: int, images: Images, folder: Path) -> Call:
    """DataLoader with {1} workers"""
    made, epochs = _written(fresh, images, folder), itertools.count(1)
    data, order = made.to_torch(), list(range(BATCH))
    drain = _started(_loader(data, workers, sampler=order))

    def call() -> int:
        epoch = next(epochs)
        data.set_epoch(epoch)
        order[:] = made.shuffled(0, epoch)[: len(images)].tolist()
        return drain()

    return call


def to_tf(fresh: bool, images: Images, folder: Path) -> Call:
    """one pipeline over all epochs"""
    made = _written(fresh, images, folder)
    batches = iter(made.to_tf(BATCH, shuffle=True, epochs=2**20))
    return lambda: _drained(itertools.islice(batches, len(images) // BATCH))


@dataclass
class _Sample:
    """Pixels and label to what a torch data set returns, augmented if `fresh`."""

    fresh: bool
    shape: tuple[int, ...]

    def __call__(self, pixels: Any, label: int) -> tuple[Any, int]:
        import torch

        image = np.frombuffer(pixels, np.uint8).reshape(self.shape)
        if self.fresh and random.random() < COPIES / (COPIES + 1):
            image = rand_augment.torchvision_batch(image[None])[0]
        return torch.from_numpy(image.copy()).permute(2, 0, 1), label


@dataclass
class _Mapped:
    """A map-style data set over an array."""

    images: Any
    labels: list[int]
    sample: _Sample

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        return self.sample(self.images[at], self.labels[at])


def mapped(fresh: bool, workers: int, images: Images, folder: Path) -> Call:
    """{1} workers"""
    np.save(folder / "set.npy", images)
    stored = np.load(folder / "set.npy", mmap_mode="r")
    sample = _Sample(fresh, images.shape[1:])
    loader = _loader(_Mapped(stored, _labels(folder), sample), workers, shuffle=True)
    return _started(loader)


def _labels(folder: Path) -> list[int]:
    return list(np.load(folder.parent / "labels.npy").tolist())


def datasets(fresh: bool, workers: int, images: Images, folder: Path) -> Call:
    """bytes in an Arrow file, {1} workers"""
    import datasets as library

    library.disable_progress_bars()
    columns = {"image": [image.tobytes() for image in images], "label": _labels(folder)}
    library.Dataset.from_dict(columns).save_to_disk(folder / "set")
    collate = _Collated(_Sample(fresh, images.shape[1:]))
    data = library.load_from_disk(folder / "set")
    loader = _loader(data, workers, shuffle=True, collate_fn=collate)
    return _started(loader)


@dataclass
class _Collated:
    sample: _Sample

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        from torch.utils.data import default_collate

        return default_collate([self.sample(row["image"], row["label"]) for row in rows])


def litdata(fresh: bool, workers: int, images: Images, folder: Path) -> Call:
    """bytes in chunks of 64 MB, {1} workers"""
    import litdata as library

    np.save(folder / "set.npy", images)
    with quiet():
        library.optimize(
            partial(_stored, folder / "set.npy", _labels(folder)),
            list(range(len(images))),
            str(folder / "set"),
            chunk_bytes="64MB",
            num_workers=1,
        )
    data = library.StreamingDataset(str(folder / "set"), shuffle=True)
    collate = _Collated(_Sample(fresh, images.shape[1:]))
    loader = library.StreamingDataLoader(
        data,
        batch_size=BATCH,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
    )
    return _started(loader)


def _stored(file: Path, labels: list[int], number: int) -> dict[str, Any]:
    return {"image": np.load(file, mmap_mode="r")[number].tobytes(), "label": labels[number]}


def _job(name: str, title: str, fresh: bool) -> Job:
    def ways(make: Callable[..., Call]) -> list[Make]:
        return [partial(make, fresh, workers) for workers in (0, cores())]

    return Job(
        name,
        f"an epoch of a written set, {title}",
        partial(ours, fresh),
        (
            Peer("the same by `to_torch`", ways(to_torch)),
            Peer("the same by `to_tf`", partial(to_tf, fresh)),
            Peer("torch DataLoader, a mapped .npy file", ways(mapped), images=4096),
            Peer("torch DataLoader, datasets", ways(datasets), images=4096),
            Peer("litdata", ways(litdata), images=4096),
        ),
        rounds=3,
    )


JOBS = (
    _job("loader", "shuffled, in batches of 64", False),
    _job("loader-fresh", "with fresh RandAugment copies", True),
)
